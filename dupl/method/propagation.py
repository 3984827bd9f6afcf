"""Pseudo-labels from CAMs that walk along the affinities of the patches before they are refined (AFA)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.method.boxes import inside
from dupl.method.cam import Present
from dupl.method.pseudo_labels import PseudoLabels, combine
from dupl.method.refine import PixelAdaptiveRefinement


def propagated_labels(
    refine: PixelAdaptiveRefinement,
    images: Tensor,
    maps: Tensor,
    grid: tuple[int, int],
    walk: Callable[[Tensor], Tensor],
    present: Present,
    boxes: Tensor,
    tau: tuple[float, Tensor],
    photo_only: bool,
) -> PseudoLabels:
    """Make labels from CAMs: softmax over threshold and classes on the grid, the walk, refinement, both thresholds.

    Walk and refinement are linear: the score of the background is what the classes leave of a map of ones that has
    taken the same way.

    Args:
        refine: The refinement.
        images: (B, 3, H, W) in [0, 1].
        maps: CAMs, (B, M, H, W).
        grid: h and w of the patches.
        walk: Propagates maps (B, C, h, w).
        present: The classes of the slots.
        boxes: y0, y1, x0, x1 of the photo in each crop, int64 (B, 4).
        tau: Low threshold, and the high one of each image, (B,).
        photo_only: Whether the photo is cut out of its padding before the refinement (released code).
    """
    low, high = tau
    small = _bilinear(maps, grid).masked_fill(~present.valid[..., None, None], -torch.inf)
    scores = []
    for threshold in (high, torch.full_like(high, low)):
        background = threshold[:, None, None, None].expand(-1, 1, *grid)
        scores.append(torch.cat([background, small], 1).softmax(1)[:, 1:])  # (B, M, h, w)
    walked = walk(torch.cat([*scores, torch.ones_like(small[:, :1])], 1))  # (B, 2 M + 1, h, w)
    size = (images.shape[2], images.shape[3])
    refined = _in_photos(refine, images, walked, boxes) if photo_only else _in_crops(refine, images, walked)
    foreground = refined[:, :-1].unflatten(1, (2, -1))  # (B, 2, M, H, W)
    return combine(foreground, present, ~inside(boxes, size), refined[:, -1:])


def _in_crops(refine: PixelAdaptiveRefinement, images: Tensor, maps: Tensor) -> Tensor:
    """Refine maps (B, C, h, w) in whole crops; (B, C, H, W)."""
    size = (images.shape[2], images.shape[3])
    small = (size[0] // refine.downscale, size[1] // refine.downscale)
    affinity = refine.affinity(_bilinear(images, small))
    return _bilinear(refine.spread(affinity, _bilinear(maps, small)), size)


def _in_photos(refine: PixelAdaptiveRefinement, images: Tensor, maps: Tensor, boxes: Tensor) -> Tensor:
    """Refine maps (B, C, h, w) in the box of each image; (B, C, H, W), 0 outside.

    Released code: the maps are enlarged to the crop, and reduced inside the box with corners aligned. A photo of fewer
    pixels than the reduction takes together stays 0.
    """
    refined = maps.new_zeros(*maps.shape[:2], *images.shape[2:])
    for image, own, out, (y0, y1, x0, x1) in zip(images, maps, refined, boxes.tolist(), strict=True):
        size = (y1 - y0, x1 - x0)
        small = (size[0] // refine.downscale, size[1] // refine.downscale)
        if min(small) < 1:
            continue
        photo = _bilinear(image[None, :, y0:y1, x0:x1], small)
        whole = _bilinear(own[None], (images.shape[2], images.shape[3]))[..., y0:y1, x0:x1]
        reduced = F.interpolate(whole, size=small, mode="bilinear", align_corners=True)
        out[:, y0:y1, x0:x1] = _bilinear(refine.spread(refine.affinity(photo), reduced), size)[0]
    return refined


def _bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if tuple(x.shape[-2:]) == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
