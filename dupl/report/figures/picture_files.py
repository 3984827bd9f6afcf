"""Pictures as files that are whole or absent: PNGs, and label maps as palette PNGs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from dupl.atomic import atomic_write
from dupl.palette import colormap
from dupl.report.figures.paint import Labels


def save_palette_png(labels: Labels, path: str | Path) -> None:
    """Write label ids as a palette PNG in the PASCAL colours; the ids are the pixel values.

    The file appears whole or not at all; missing folders are created.

    Args:
        labels: Label ids, uint8, (H, W).
        path: The file.

    Raises:
        ValueError: The labels are no uint8 array of two dimensions.
        OSError: It cannot be written; nothing is left behind.
    """
    if labels.dtype != np.uint8 or labels.ndim != 2:
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape}, not uint8 (H, W)")
    picture = Image.fromarray(labels)
    picture.putpalette(colormap().tobytes())
    write_png(picture, path)


def write_png(picture: Image.Image, path: str | Path) -> None:
    """Write a PNG atomically, so that no reader ever finds half of it."""
    data = io.BytesIO()
    picture.save(data, format="PNG")
    atomic_write(path, data.getvalue())
