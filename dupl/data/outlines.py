"""The outline of one COCO object, polygons or run lengths, painted into a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dupl.errors import UserError


def paint(mask: NDArray[np.uint8], segmentation: Any, label: int) -> None:
    """Set the pixels of an object in a mask (H, W), in place.

    Args:
        mask: Label ids.
        segmentation: Polygons [[x, y, x, y, ...], ...] or run lengths {"size": [H, W], "counts": ...}, as numbers or
            as COCO's compressed text. A polygon of fewer than three points has no area.
        label: What to set.

    Raises:
        ValueError: It is neither, or it does not fit the mask.
        UserError: pycocotools, which draws polygons, is not installed.
    """
    if isinstance(segmentation, dict):
        inside = _from_runs(segmentation, mask.shape[0], mask.shape[1])
    elif isinstance(segmentation, list):
        inside = _from_polygons(segmentation, mask.shape[0], mask.shape[1])
    else:
        raise ValueError("it has neither polygons nor run lengths")
    mask[inside] = label


def _from_runs(segmentation: dict[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of runs that go down the columns, outside first."""
    counts = segmentation.get("counts")
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    if segmentation.get("size") != [height, width]:
        raise ValueError(f"its size is {segmentation.get('size')}, the image's [{height}, {width}]")
    if not isinstance(runs, list) or not all(type(run) is int and 0 <= run <= height * width for run in runs):
        raise ValueError("its run lengths are no whole numbers")
    if sum(runs) != height * width:
        raise ValueError(f"its run lengths cover {sum(runs)} of {height * width} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _unpacked(text: str) -> list[int]:
    """Return the run lengths in COCO's text: 5 bits a character, from the third on as change to the last but one."""
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
    try:
        from pycocotools import mask as drawing
    except ImportError:
        raise UserError('pycocotools, which draws COCO polygons, is not installed: pip install ".[coco]"') from None
    checked = [_checked(polygon, height, width) for polygon in polygons]
    drawn = [polygon for polygon in checked if len(polygon) >= 6]
    if not drawn:
        return np.zeros((height, width), np.bool_)
    inside: NDArray[np.bool_] = drawing.decode(drawing.merge(drawing.frPyObjects(drawn, height, width))) > 0
    return inside


def _checked(polygon: Any, height: int, width: int) -> list[float]:
    """Return a polygon that cannot harm the C code which draws it."""
    if not isinstance(polygon, list) or len(polygon) % 2 or any(type(value) not in (int, float) for value in polygon):
        raise ValueError("a polygon is no list of pairs of numbers")
    try:
        points = np.array(polygon, np.float64).reshape(-1, 2)
    except OverflowError:
        raise ValueError("a polygon holds a number of hundreds of digits") from None
    if not (np.abs(points) <= 2 * max(height, width) + 100).all():
        raise ValueError(f"a polygon lies far outside the image of {width} x {height} pixels")
    return polygon
