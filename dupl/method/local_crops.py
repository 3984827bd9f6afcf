"""Local crops of an image, cut where the auxiliary CAM does not see foreground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dupl.errors import UserError

Padding = Literal["excluded", "background"]


def regions(aux: Tensor, tau_l: float, tau_h: Tensor) -> Tensor:
    """Divide pixels by the auxiliary CAM: 0 background, 1 undecided, 2 foreground.

    Args:
        aux: CAMs, (B, M, H, W).
        tau_l: A pixel at or below it is background.
        tau_h: A pixel at or above it is foreground, (B,).

    Returns:
        Int64 (B, H, W).
    """
    value = aux.amax(1)
    return (value > tau_l).long() + ((value > tau_l) & (value >= tau_h[:, None, None]))


def choose_crops(
    region: Tensor, boxes: Tensor, count: int, side: int, padding: Padding, draws: Sequence[Sequence[int]]
) -> Tensor:
    """Draw the corners of square crops whose centre is not foreground, without repetition.

    Where there are fewer such places than crops, any place will do. With "excluded" a crop must lie in the photo; in a
    photo that is too small for that, places in the whole image are taken, as with "background".

    Args:
        region: Of ``regions``, (B, H, W).
        boxes: y0, y1, x0, x1 of the photo, int64 (B, 4).
        count: Number of crops.
        side: Side of a crop, in pixels.
        padding: "excluded" or "background".
        draws: Seed of each image.

    Returns:
        Row and column of the first pixel of each crop, int64 (B, count, 2).

    Raises:
        UserError: The image has fewer places than crops.
    """
    height, width = (max(0, full - side) for full in region.shape[1:])
    if height * width < count:
        raise UserError(
            f"model.class_contrast cuts {count} crops of {side} px, and images of "
            f"{region.shape[1]} x {region.shape[2]} px have {height * width} places for them: give a smaller "
            "model.class_contrast.crop_size or a larger data.augment.crop"
        )
    half = side // 2
    undecided = region[:, half : half + height, half : half + width] <= 1  # by the corner of the crop, (B, h, w)
    whole = _within(boxes, height, width, side) if padding == "excluded" else torch.ones_like(undecided)
    random = np.stack([np.random.default_rng(list(seed)).random((height, width)) for seed in draws])
    rank = torch.from_numpy(random).to(region.device, non_blocking=True)
    for allowed in (whole, whole & undecided):  # the last set that is large enough wins
        enough = allowed.sum((1, 2), keepdim=True) >= count
        rank = rank + (allowed & enough)
    place = rank.flatten(1).topk(count, dim=1).indices  # (B, count)
    return torch.stack([place // width, place % width], 2)


def _within(boxes: Tensor, height: int, width: int, side: int) -> Tensor:
    """Return which corners give a crop inside the photo, bool (B, height, width)."""
    rows, columns = (torch.arange(size, device=boxes.device) for size in (height, width))
    y0, y1, x0, x1 = boxes[..., None].unbind(1)
    in_rows, in_columns = (rows >= y0) & (rows + side <= y1), (columns >= x0) & (columns + side <= x1)
    return in_rows[:, :, None] & in_columns[:, None]


def cut(images: Tensor, places: Tensor, side: int) -> Tensor:
    """Cut square crops.

    Args:
        images: (B, C, H, W).
        places: Row and column of the first pixel of each crop, int64 (B, n, 2).
        side: Side of a crop, in pixels.

    Returns:
        (B, n, C, side, side).
    """
    step = torch.arange(side, device=images.device)
    rows, columns = (places[..., axis, None] + step for axis in (0, 1))  # (B, n, side)
    image = torch.arange(len(images), device=images.device)[:, None, None, None]
    return images.movedim(1, -1)[image, rows[..., None], columns[:, :, None]].movedim(-1, 2).contiguous()
