"""Painting the outline of one COCO object, polygons or run lengths, into a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dupl.errors import UserError


def require_pycocotools() -> Any:
    """Return the module of pycocotools that draws polygons.

    Raises:
        UserError: It is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError:
        raise UserError('pycocotools, which draws COCO polygons, is not installed: pip install ".[coco]"') from None
    return mask


def paint(mask: NDArray[np.uint8], segmentation: Any, label: int) -> None:
    """Set the pixels of an object in a mask (H, W), in place.

    Args:
        mask: Label ids.
        segmentation: Polygons [[x, y, x, y, ...], ...] or run lengths {"size": [H, W], "counts": ...}, as numbers or
            as COCO's compressed text. A polygon of fewer than three points has no area.
        label: The label id to set.

    Raises:
        ValueError: The segmentation has neither form, or does not fit the mask.
        UserError: pycocotools is needed and is not installed.
    """
    if isinstance(segmentation, dict):
        inside = _from_runs(segmentation, mask.shape[0], mask.shape[1])
    elif isinstance(segmentation, list):
        inside = _from_polygons(segmentation, mask.shape[0], mask.shape[1])
    else:
        raise ValueError("there are neither polygons nor run lengths")
    mask[inside] = label


def _from_runs(segmentation: dict[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of runs that go down the columns, outside first.

    pycocotools is not used here: from runs that cover too few pixels it returns memory that was never written.
    """
    counts = segmentation.get("counts")
    runs = _decompressed(counts) if isinstance(counts, str) else counts
    if segmentation.get("size") != [height, width]:
        raise ValueError(f"its size is {segmentation.get('size')}, the image's [{height}, {width}]")
    if not isinstance(runs, list) or not all(type(run) is int and 0 <= run <= height * width for run in runs):
        raise ValueError("its run lengths are not whole numbers of pixels")
    if sum(runs) != height * width:
        raise ValueError(f"its run lengths cover {sum(runs)} of {height * width} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _decompressed(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed text.

    Each character holds 5 bits and a continuation bit; from the third run on, the text holds the difference to
    the run before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for code in (ord(character) - 48 for character in text):
        if not 0 <= code < 64 or shift > 50:
            raise ValueError("its run lengths are not COCO's compressed text")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _from_polygons(polygons: list[Any], height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels (H, W) inside any of the polygons."""
    drawing = require_pycocotools()
    validated = [_validated(polygon, height, width) for polygon in polygons]
    drawn = [polygon for polygon in validated if len(polygon) >= 6]
    if not drawn:
        return np.zeros((height, width), np.bool_)
    inside: NDArray[np.bool_] = drawing.decode(drawing.merge(drawing.frPyObjects(drawn, height, width))) > 0
    return inside


def _validated(polygon: Any, height: int, width: int) -> list[float]:
    """Refuse a polygon on which pycocotools would not end: NaN, or coordinates far outside the image."""
    if not isinstance(polygon, list) or len(polygon) % 2 or any(type(value) not in (int, float) for value in polygon):
        raise ValueError("a polygon is not a list of pairs of numbers")
    try:
        points = np.array(polygon, np.float64).reshape(-1, 2)
    except OverflowError:
        raise ValueError("a polygon holds a number of hundreds of digits") from None
    if not (np.abs(points) <= 2 * max(height, width) + 100).all():
        raise ValueError(f"a polygon lies far outside the image of {width} x {height} pixels")
    return polygon
