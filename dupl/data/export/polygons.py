"""Outlines of regions as polygons that hold exactly the centres of their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]  # points (x, y) in pixels, (n, 2); the last point joins the first


def polygons_of(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Return the outlines of the connected regions of a mask, each as one polygon without holes.

    The origin is the upper left corner of the image, so that the centre of pixel (row i, column j) is (j + 0.5,
    i + 0.5). A pixel belongs to the mask where its centre lies inside a polygon by the even-odd rule. A hole is joined
    to its outline by a slit of no width.

    Args:
        mask: Pixels of one class, (H, W).
    """
    from contourpy import FillType, contour_generator

    if not mask.any():
        return []
    field = np.pad(mask, 1).astype(np.float64)
    filler = contour_generator(z=field, fill_type=FillType.OuterOffset)
    found: Any = filler.filled(0.5, 2.0)  # points and offsets of each outline with its holes
    return [_joined(points - 0.5, offsets) for points, offsets in zip(*found, strict=True)]


def _joined(points: Polygon, offsets: Any) -> Polygon:
    """Return an outline and its holes as one closed path, without its last point, which equals the first.

    Args:
        points: The outline, then each hole, all closed, (n, 2).
        offsets: Where each of them begins, and the end.
    """
    outer, *holes = (_corners(points[a : b - 1]) for a, b in zip(offsets[:-1], offsets[1:], strict=True))
    for hole in holes:
        apart = ((outer[:, None] - hole[None]) ** 2).sum(2) if len(outer) * len(hole) < 1 << 22 else None
        at, start = (0, 0) if apart is None else divmod(int(apart.argmin()), len(hole))
        turned = np.roll(hole, -start, axis=0)
        outer = np.concatenate([outer[: at + 1], turned, turned[:1], outer[at:]])
    return outer


def _corners(ring: Polygon) -> Polygon:
    """Return a ring without the points in the middle of its straight sides."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
