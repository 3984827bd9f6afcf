"""A contact sheet: the panes of a few images in one small picture, with what a page needs to cut them out again."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from dupl.report.figures.image_row import Kind, Panel, legend, pane

CELL = 176  # side in pixels of the square that a pane fits into
QUALITY = 80  # of WebP
COLOUR = (240, 240, 240)  # of what no pane covers


def contact_sheet(panels: Sequence[Panel], classes: Sequence[str]) -> tuple[bytes, dict[str, Any]]:
    """Return a WebP picture with a row per image and a column per step of the method, and its description.

    Panes are reduced to `CELL`, or enlarged by a whole factor. The description holds ``cell`` (side of a cell),
    ``columns`` (kind, and student from 1), ``images`` (name, tags, width and height within its cells, and which
    columns it fills), and ``legend`` (text and swatch, a data URI).

    Args:
        panels: The images, from top to bottom.
        classes: Class names by label id, background first.
    """
    columns = _columns(panels)
    sheet = Image.new("RGB", (CELL * len(columns), CELL * len(panels)), COLOUR)
    images = []
    for row, panel in enumerate(panels):
        size = _fit(panel.image.shape[1], panel.image.shape[0])
        filled = []
        for number, (kind, student) in enumerate(columns):
            picture = pane(panel, kind, student - 1, size)
            filled.append(picture is not None)
            if picture is not None:
                sheet.paste(Image.fromarray(picture), (CELL * number, CELL * row))
        images.append({"name": panel.name, "tags": list(panel.tags), "size": list(size), "filled": filled})
    described = {
        "cell": CELL,
        "columns": [{"kind": kind, "student": student} for kind, student in columns],
        "images": images,
        "legend": [
            {"text": key.text, "swatch": data_uri(_bytes(Image.fromarray(key.swatch), "PNG"), "png")}
            for key in legend(panels, classes)
        ],
    }
    return _bytes(sheet, "WEBP", quality=QUALITY, method=4), described


def data_uri(data: bytes, kind: str) -> str:
    """Return a picture's bytes as an address that a page can hold; `kind` is png, webp, ..."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _columns(panels: Sequence[Panel]) -> list[tuple[Kind, int]]:
    """Return the columns that any panel fills: kind, and student from 1; 0 is the image itself."""
    columns: list[tuple[Kind, int]] = [("Image", 0)]
    if any(panel.truth is not None for panel in panels):
        columns.append(("Truth", 0))
    counts: dict[Kind, int] = {
        "CAM": max(len(panel.cams) for panel in panels),
        "Pseudo-label": max(len(panel.pseudo) for panel in panels),
        "Prediction": max(len(panel.prediction) for panel in panels),
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
