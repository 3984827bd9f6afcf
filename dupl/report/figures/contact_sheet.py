"""A contact sheet: the pictures of a few images in one small file, with a description that locates each of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from dupl.report.figures.image_row import ImageRow, Kind, row_picture
from dupl.report.figures.legend import legend

CELL = 176  # side in pixels of the square that a picture fits into
QUALITY = 80  # of WebP
COLOUR = (240, 240, 240)  # where there is no picture


def contact_sheet(rows: Sequence[ImageRow], classes: Sequence[str]) -> tuple[bytes, dict[str, Any]]:
    """Return a WebP picture with a row per image and a column per step of the method, and its description.

    Pictures are reduced to `CELL`, or enlarged by a whole factor. The description holds ``cell`` (side of a cell),
    ``columns`` (kind, and student from 1), ``images`` (name, tags, width and height within its cells, and which
    columns it fills), and ``legend`` (text and swatch, a data URI).

    Args:
        rows: The images, from top to bottom.
        classes: Class names by label id, background first.
    """
    columns = _columns(rows)
    sheet = Image.new("RGB", (CELL * len(columns), CELL * len(rows)), COLOUR)
    images = []
    for number, row in enumerate(rows):
        size = _fit(row.image.shape[1], row.image.shape[0])
        filled = []
        for column, (kind, student) in enumerate(columns):
            picture = row_picture(row, kind, student - 1, size)
            filled.append(picture is not None)
            if picture is not None:
                sheet.paste(Image.fromarray(picture), (CELL * column, CELL * number))
        images.append({"name": row.name, "tags": list(row.tags), "size": list(size), "filled": filled})
    described = {
        "cell": CELL,
        "columns": [{"kind": kind, "student": student} for kind, student in columns],
        "images": images,
        "legend": [
            {"text": entry.text, "swatch": data_uri(_bytes(Image.fromarray(entry.swatch), "PNG"), "png")}
            for entry in legend(rows, classes)
        ],
    }
    return _bytes(sheet, "WEBP", quality=QUALITY, method=4), described


def data_uri(data: bytes, kind: str) -> str:
    """Return a picture's bytes as an address that a page can hold; `kind` is png, webp, ..."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _columns(rows: Sequence[ImageRow]) -> list[tuple[Kind, int]]:
    """Return the columns that any image fills: kind, and student from 1; 0 is the image itself."""
    columns: list[tuple[Kind, int]] = [("Image", 0)]
    if any(row.truth is not None for row in rows):
        columns.append(("Truth", 0))
    counts: dict[Kind, int] = {
        "CAM": max(len(row.cams) for row in rows),
        "Pseudo-label": max(len(row.pseudo) for row in rows),
        "Prediction": max(len(row.prediction) for row in rows),
    }
    return columns + [(kind, student) for kind, count in counts.items() for student in range(1, count + 1)]


def _fit(width: int, height: int) -> tuple[int, int]:
    """Return the width and height at which an image fits a cell."""
    factor = CELL / max(width, height)
    factor = float(int(factor)) if factor >= 2 else factor
    return max(1, round(width * factor)), max(1, round(height * factor))


def _bytes(picture: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    picture.save(data, format=kind, **options)
    return data.getvalue()
