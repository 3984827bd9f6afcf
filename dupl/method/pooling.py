"""Pooling of maps over an image before the classification loss: the maximum, the mean, or a value between the two."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Pooling = Literal["max", "avg", "topk", "lse"]
Pooled = Literal["features", "scores"]


def pooling_function(name: Pooling, share: float, sharpness: float) -> Callable[[Tensor], Tensor]:
    """Return a function from maps (B, C, h, w) to values (B, C).

    Args:
        name: "max", "avg", "topk" or "lse".
        share: Of "topk", see ``top_mean``.
        sharpness: Of "lse", see ``log_mean_exp``.

    Raises:
        ValueError: ``name`` is none of the four, or a value lies outside its range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"network.pool_share is {share}: give a share of the patches in (0, 1]")
    if sharpness <= 0:
        raise ValueError(f"network.pool_sharpness is {sharpness}: give a number above 0")
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "max": lambda maps: F.adaptive_max_pool2d(maps, 1).flatten(1),
        "avg": lambda maps: F.adaptive_avg_pool2d(maps, 1).flatten(1),
        "topk": partial(top_mean, share=share),
        "lse": partial(log_mean_exp, sharpness=sharpness),
    }
    if name not in known:
        raise ValueError(f"network.pooling is {name!r}: choose from {', '.join(known)}")
    return known[name]


def top_mean(maps: Tensor, share: float) -> Tensor:
    """Return the mean of the highest values of each map: of a share of its patches, at least of one.

    Args:
        maps: (B, C, h, w).
        share: In (0, 1]; 1 is the mean of the map.
    """
    flat = maps.flatten(2)
    return flat.topk(max(1, round(share * flat.shape[2])), dim=2, sorted=False).values.mean(2)


def log_mean_exp(maps: Tensor, sharpness: float) -> Tensor:
    """Return log(mean(exp(r x))) / r of each map, in float32.

    Source: Pinheiro and Collobert, *From Image-level to Pixel-level Labeling with Convolutional Networks*, 2015, Eq. 5.

    Args:
        maps: x, (B, C, h, w).
        sharpness: r, above 0; near 0 it is the mean, and a large one gives the maximum.
    """
    flat = maps.flatten(2).float()
    return ((sharpness * flat).logsumexp(2) - math.log(flat.shape[2])) / sharpness
