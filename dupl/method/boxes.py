"""Boxes: the part of each crop that shows the photo, without the padding around it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def inside(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Return which pixels lie in each image's box.

    Args:
        boxes: y0, y1, x0, x1 of each image, ends excluded, int64 (B, 4).
        size: H and W.

    Returns:
        Bool (B, H, W).
    """
    rows = torch.arange(size[0], device=boxes.device)
    columns = torch.arange(size[1], device=boxes.device)
    y0, y1, x0, x1 = boxes[..., None].unbind(1)
    in_rows = (rows >= y0) & (rows < y1)
    in_columns = (columns >= x0) & (columns < x1)
    return in_rows[:, :, None] & in_columns[:, None, :]
