"""Writing masks in VOC's palette, lists of ids, and tables of tags."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dupl.atomic import utf8
from dupl.data.prepare.disk import write_file
from dupl.palette import colormap

_PALETTE = colormap().ravel().tobytes()


def save_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    """Write label ids (H, W) as a PNG in VOC's colours."""
    picture = Image.fromarray(mask)
    picture.putpalette(_PALETTE)
    content = io.BytesIO()
    picture.save(content, "PNG")
    write_file(path, [content.getvalue()])


def save_list(path: Path, ids: Iterable[str]) -> None:
    """Write a list with one id per line."""
    write_file(path, [utf8("".join(f"{name}\n" for name in ids))])


def save_tags(path: Path, tags: Mapping[str, Sequence[str]], separator: str) -> None:
    """Write a table with the columns image and tags; a separator stands between the tags of an image."""
    content = io.StringIO()
    table = csv.writer(content, lineterminator="\n")
    table.writerow(["image", "tags"])
    table.writerows([name, separator.join(present)] for name, present in tags.items())
    write_file(path, [utf8(content.getvalue())])
