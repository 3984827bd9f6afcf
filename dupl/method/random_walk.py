"""Affinities between patches: what they are taught by labels, and a random walk of CAMs along them (AFA).

S      affinity of two patches, (B, N, N) in (0, 1), N = h w      window   pairs near each other, bool (N, N)
y      label of each patch, (B, h, w), 255 = none                  T        transition matrix of the walk
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.structures import IGNORE


@lru_cache(maxsize=8)
def window(height: int, width: int, radius: int, device: torch.device | str = "cpu") -> Tensor:
    """Return which patches lie at most ``radius`` rows and columns apart, bool (h w, h w)."""
    row = torch.arange(height, device=device).repeat_interleave(width)
    column = torch.arange(width, device=device).repeat(height)
    near_rows = (row[:, None] - row).abs() <= radius
    return near_rows & ((column[:, None] - column).abs() <= radius)


def patch_labels(labels: Tensor, grid: tuple[int, int], centres: bool) -> Tensor:
    """Return the label of each patch, int64 (B, h, w).

    Args:
        labels: In pixels, int64 (B, H, W), 255 = none.
        grid: h and w.
        centres: Whether a patch has the label of its central pixel; else that of its first one.
    """
    mode = "nearest-exact" if centres else "nearest"
    return F.interpolate(labels[:, None].float(), size=grid, mode=mode)[:, 0].long()


def pairs(y: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairs of labelled, near patches with equal labels, and those with unequal ones, bool (B, N, N).

    Args:
        y: (B, h, w).
        near: The window, bool (N, N).
    """
    flat = y.flatten(1)
    known = flat != IGNORE
    counted = known[:, :, None] & known[:, None, :] & near
    equal = flat[:, :, None] == flat[:, None, :]
    return counted & equal, counted & ~equal


def affinity_loss(S: Tensor, y: Tensor, near: Tensor, extra: float = 1.0) -> Tensor:
    """Compute 0.5 mean(1 - S) over equal pairs + 0.5 mean(S) over unequal pairs; a mean over nothing is 0.

    Args:
        S: (B, N, N).
        y: (B, h, w).
        near: The window, bool (N, N).
        extra: Added to both counts, at least 0. Released code: 1.
    """
    alike, unlike = pairs(y, near)
    counts = [((kind.sum() + extra).clamp(min=1)) for kind in (alike, unlike)]
    return 0.5 * ((1 - S) * alike).sum() / counts[0] + 0.5 * (S * unlike).sum() / counts[1]


def transition(S: Tensor, near: Tensor, power: float = 2.0, smoothing: float = 0.1) -> Tensor:
    """Compute T: S within the window, to a power, each column divided by its sum plus ``smoothing``.

    Columns sum to less than 1: a patch with few similar neighbours keeps less of what they have.

    Args:
        S: (B, N, N).
        near: The window, bool (N, N).
        power: Exponent; a large one keeps only the most similar neighbours.
        smoothing: At least 0.

    Returns:
        (B, N, N).
    """
    T = (S * near) ** power
    return T / (T.sum(1, keepdim=True) + smoothing)


def walk(maps: Tensor, T: Tensor, steps: int = 1) -> Tensor:
    """Let maps (B, C, h, w) take some steps: each patch gets the sum of all patches i, weighted by T[i, patch]."""
    flat = maps.flatten(2)
    for _ in range(steps):
        flat = flat @ T
    return flat.view_as(maps)
