"""The legend of figures with images: the classes that occur, and the other colours and lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dupl.report.figures.figure_sheet import PAPER, Picture
from dupl.report.figures.image_row import STRONG, ImageRow
from dupl.report.figures.paint import OUTLINE, VOID, heatmap, paint
from dupl.structures import IGNORE

GREY = 140  # brightness of the photo under samples


@dataclass(frozen=True, eq=False)
class LegendEntry:
    """One entry of the legend.

    Attributes:
        text: What the swatch stands for.
        swatch: A sample of it, RGB, (h, w, 3).
    """

    text: str
    swatch: Picture


def legend(rows: Sequence[ImageRow], classes: Sequence[str]) -> list[LegendEntry]:
    """Return the legend of a figure: the classes that occur in it, then the other colours and lines.

    "undecided" and "filtered as noise" are listed whenever there are pseudo-labels, with "(none here)" where they do
    not occur; "void" and the entries of CAMs only where they occur.

    Args:
        rows: The images of the figure.
        classes: Class names by label id, background first.
    """
    seen = {label for row in rows for labels in _painted(row) for label in np.unique(labels).tolist()}
    unsure = any((a == IGNORE).any() for row in rows for a in (*row.pseudo, *row.prediction))
    noise = any(noisy.any() for row in rows for noisy in row.noisy)
    void = any(row.truth is not None and (row.truth == IGNORE).any() for row in rows)

    grey, every = np.full((18, 34, 3), GREY, np.uint8), np.ones((18, 34), np.bool_)
    entries = []
    for label in sorted(seen - {0, IGNORE}):
        name = classes[label] if label < len(classes) else f"label {label}"
        entries.append(LegendEntry(name, filled(grey, tint(label))))
    if 0 in seen:
        entries.append(LegendEntry(f"{classes[0]} (not painted)", filled(grey, PAPER)))
    taught = any(row.pseudo for row in rows)
    if taught or unsure:
        sample = paint(grey, np.full(every.shape, IGNORE, np.uint8))
        entries.append(LegendEntry("undecided" + ("" if unsure else " (none here)"), sample))
    if taught:
        sample = paint(grey, np.zeros(every.shape, np.uint8), noisy=every)
        entries.append(LegendEntry("filtered as noise" + ("" if noise else " (none here)"), sample))
    if void:
        entries.append(LegendEntry("void", filled(grey, VOID)))
    if any(row.cams for row in rows):
        ramp = np.broadcast_to(np.linspace(0, 1, 96, dtype=np.float32), (18, 96))
        entries.append(LegendEntry("CAM from 0 to 1", heatmap(np.full((18, 96, 3), GREY, np.uint8), ramp)))
    if any(labels is not None for row in rows for labels in row.cam_labels or ()):
        sample = heatmap(grey, np.full(every.shape, 0.45, np.float32))
        sample[8:10] = OUTLINE
        entries.append(LegendEntry("threshold of the CAM", sample))
    return entries


def _painted(row: ImageRow) -> list[NDArray[np.uint8]]:
    """Return the labels that are visible in the pictures of an image, as arrays of any shape."""
    noisy = [*row.noisy, *(np.zeros(a.shape, np.bool_) for a in row.pseudo[len(row.noisy) :])]
    pseudo = [labels[~hidden] for labels, hidden in zip(row.pseudo, noisy, strict=False)]
    return [*([] if row.truth is None else [row.truth]), *pseudo, *row.prediction]


def tint(label: int) -> tuple[int, ...]:
    """Return the colour of a class as it looks on a grey photo."""
    spot = np.full((1, 1, 3), GREY, np.uint8)
    return tuple(paint(spot, np.full((1, 1), label, np.uint8), alpha=STRONG)[0, 0].tolist())


def filled(like: Picture, colour: tuple[int, ...]) -> Picture:
    """Return a picture of one colour, as large as another."""
    picture = np.empty_like(like)
    picture[:] = colour
    return picture
