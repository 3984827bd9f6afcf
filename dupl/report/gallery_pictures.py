"""Single pictures from the contact sheets of a run's gallery."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from dupl.report.figures.figure_sheet import Picture


def gallery_picture(shot: Mapping[str, Any], name: str, kind: str, student: int) -> Picture | None:
    """Return one picture of a gallery, RGB (H, W, 3).

    Args:
        shot: A description of the gallery with the bytes of its contact sheet, as a run that was read holds them.
        name: Of the image.
        kind: "Image", "Truth", "CAM", "Pseudo-label" or "Prediction".
        student: From 1; 0 for the image and its truth.

    Returns:
        None where the sheet has no such picture.
    """
    columns = [(column["kind"], column["student"]) for column in shot["columns"]]
    rows = [image["name"] for image in shot["images"]]
    if (kind, student) not in columns or name not in rows:
        return None
    column, row, cell = columns.index((kind, student)), rows.index(name), shot["cell"]
    image = shot["images"][row]
    if not image["filled"][column]:
        return None
    width, height = image["size"]
    left, top = cell * column, cell * row
    with Image.open(io.BytesIO(shot["sheet"])) as sheet:
        return np.asarray(sheet.convert("RGB").crop((left, top, left + width, top + height)))
