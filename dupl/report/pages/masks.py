"""The page of masks: each photo beside what the model sees in it, in one HTML file that needs no network."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from dupl.palette import colormap
from dupl.report.figures.contact_sheet import data_uri
from dupl.report.figures.figure_sheet import Picture
from dupl.report.figures.paint import Labels, overlay
from dupl.report.pages.html import POLICY, environment

MOST = 100  # photos on a page
SIDE = 280  # pixels of a picture on the page
GAP = 6


class MaskRow(NamedTuple):
    """One photo of the page.

    Attributes:
        name: Of the photo.
        text: Its tags, for a reader.
        picture: Photo and masks side by side, as a data URI.
    """

    name: str
    text: str
    picture: str


@dataclass(frozen=True)
class MaskPage:
    """What the page says beside its photos.

    Attributes:
        title: Of the page.
        facts: Names and values below the title.
        notes: Sentences on how to read it.
        columns: What stands in each column of a picture, from left to right.
        classes: Class names by label id, background first.
        command: That wrote the page.
    """

    title: str
    facts: Mapping[str, str]
    notes: Sequence[str]
    columns: Sequence[str]
    classes: Sequence[str]
    command: str = "dupl infer"

    def render(self, rows: Sequence[MaskRow], left_out: int = 0) -> str:
        """Return the page as HTML.

        Args:
            rows: The photos.
            left_out: How many more there are.
        """
        colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colormap(len(self.classes)).tolist()]
        legend = list(zip(self.classes[1:], colours[1:], strict=True))
        template = environment().get_template("masks.html")
        return template.render(page=self, policy=POLICY, legend=legend, rows=rows, left_out=left_out)


def mask_row(name: str, text: str, image: Picture, masks: Sequence[Labels], classes: Sequence[str]) -> MaskRow:
    """Return the row of a photo: the photo and each mask painted on it, reduced.

    Args:
        name: Of the photo.
        text: Its tags, for a reader.
        image: RGB, (H, W, 3).
        masks: Label ids, (H, W) each.
        classes: Class names by label id, background first.
    """
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    reduced = [np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)) for mask in masks]
    pictures = [small, *(overlay(small, mask, classes) for mask in reduced)]
    sheet = Image.new("RGB", ((SIDE + GAP) * len(pictures) - GAP, size[1]), (255, 255, 255))
    for column, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture), ((SIDE + GAP) * column + (SIDE - size[0]) // 2, 0))
    data = io.BytesIO()
    sheet.save(data, format="WEBP", quality=80)
    return MaskRow(name, text, data_uri(data.getvalue(), "webp"))
