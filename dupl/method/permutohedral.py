"""Gaussian filtering in many dimensions on the permutohedral lattice, in torch operations on any device.

Source: Adams et al., *Fast High-Dimensional Filtering Using the Permutohedral Lattice*, 2010, with the blur and the
normalisation of Krähenbühl and Koltun, *Efficient Inference in Fully Connected CRFs*, 2011. Values travel as rows:
splat, blur and slice are weighted sums of gathered rows (``embedding_bag``), all channels at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Bags:
    """A sparse matrix, row by row: row r of the product is the weighted sum of the rows that its bag names.

    Attributes:
        index: Rows of the operand, bag after bag, int32 (E,).
        start: Where each bag begins, and the end of the last, int32 (rows + 1,).
        weight: Float32 (E,).
    """

    index: Tensor
    start: Tensor
    weight: Tensor

    def __matmul__(self, rows: Tensor) -> Tensor:
        """Multiply by rows (n, C)."""
        return F.embedding_bag(
            self.index, rows, self.start, mode="sum", per_sample_weights=self.weight, include_last_offset=True
        )


class PermutohedralFilter:
    """Filter rows by exp(-|f_p - f_q|^2 / 2).

    Args:
        features: f, already divided by the widths of the kernel, float32 (N, d).
        gain: Factor on the result.
        normalise: Whether to normalise on both sides by the root of the filtered constant 1. Without it, in five
            dimensions, the result is about 0.52 of the kernel's sum: the lattice has a scale of its own.
    """

    def __init__(self, features: Tensor, gain: float = 1.0, normalise: bool = True) -> None:
        key, weight, strides = simplices(features)
        d, count = len(key) - 1, len(features)
        ordered, order = key.flatten().sort()  # key and weight are (d + 1, N): entry k of pixel p is k N + p
        new = torch.ones_like(ordered, dtype=torch.bool)
        new[1:] = ordered[1:] != ordered[:-1]
        corner = (new.cumsum(0) - 1).int()
        vertices = ordered[new]  # ascending, (M,)
        pixel = (order % count).int()
        start = F.pad(new.nonzero()[:, 0], (0, 1), value=len(order)).int()
        self.splat = Bags(pixel, start, weight.flatten()[order])
        home = torch.empty_like(corner)
        home[order] = corner
        weight = weight / (1 + 2.0**-d)
        every = torch.arange(0, len(order) + 1, d + 1, dtype=torch.int32, device=key.device)
        self.slice = Bags(home.view(d + 1, count).T.flatten(), every, weight.T.flatten())
        self.blur = [_blur(vertices, step) for step in _steps(strides)]
        norm = torch.ones_like(features[:, :1])  # (N, 1)
        if normalise:
            norm = self._filter(norm).add_(1e-20).rsqrt_()
        self.splat = Bags(pixel, start, self.splat.weight * norm[pixel.long(), 0])
        self.slice = Bags(self.slice.index, every, (self.slice.weight.view(count, -1) * (gain * norm)).flatten())

    def __call__(self, rows: Tensor) -> Tensor:
        """Filter float32 rows (N, C)."""
        return self._filter(rows)

    def _filter(self, rows: Tensor) -> Tensor:
        lattice = self.splat @ rows
        for blur in self.blur:
            lattice = blur @ lattice
        return self.slice @ lattice


def bilateral_features(image: Tensor, sxy: float, srgb: float) -> Tensor:
    """Return x, y and colour of all pixels of an image in widths of the bilateral kernel.

    Args:
        image: RGB in [0, 255], (H, W, 3).
        sxy: Width in space, in pixels.
        srgb: Width in colour, in grey levels.

    Returns:
        Float32 (H W, 5).
    """
    height, width = image.shape[:2]
    y = torch.arange(height, device=image.device).float()[:, None].expand(height, width)
    x = torch.arange(width, device=image.device).float().expand(height, width)
    place = torch.stack([x, y], 2) / sxy
    return torch.cat([place, image.float() / srgb], 2).flatten(0, 1)


def simplices(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the d + 1 lattice vertices around each of N points, and the point's barycentric weights.

    Args:
        features: (N, d), one unit is one standard deviation of the filter.

    Returns:
        Keys of the vertices, int64 (d + 1, N), equal for equal vertices; weights, (d + 1, N), adding up to 1; the
        weight of each of the first d coordinates in a key, int64 (d,).
    """
    d = features.shape[1]
    planes = [
        plane * ((2 / 3) ** 0.5 * (d + 1) / (k * (k + 1)) ** 0.5) for k, plane in enumerate(features.unbind(1), 1)
    ]
    total = torch.zeros_like(planes[0])
    elevated = []  # the point in the hyperplane of d + 1 coordinates that add up to 0
    for k in range(d, 0, -1):
        elevated.append(total - k * planes[k - 1])
        total = total + planes[k - 1]
    point = torch.stack([total, *reversed(elevated)])  # (d + 1, N)
    nearest = torch.round(point / (d + 1))  # the closest lattice point of remainder 0, before it is put in the plane
    excess = nearest.sum(0).long()
    away = point - nearest * (d + 1)
    rank = torch.zeros_like(point, dtype=torch.int64)
    for i in range(d):
        for j in range(i + 1, d + 1):
            below = away[i] < away[j]
            rank[i] += below
            rank[j] += ~below
    rank += excess
    wrap = (rank < 0).long() - (rank > d).long()
    rank += wrap * (d + 1)
    nearest += wrap
    offset = torch.empty_like(point).scatter_(0, rank, point / (d + 1) - nearest)  # by rank, descending
    weight = torch.empty_like(point)
    weight[0] = 1 + offset[d] - offset[0]
    weight[1:] = (offset[:d] - offset[1:]).flip(0)

    origin = nearest.long() * (d + 1)
    low = origin[:d].amin(1) - 2 * (d + 1)
    extent = origin[:d].amax(1) - low + 2 * (d + 1)  # room for the neighbours of every vertex
    strides = torch.cat([extent.new_ones(1), extent.cumprod(0)[:-1]])
    key = torch.empty_like(origin)
    key[0] = ((origin[:d] - low[:, None]) * strides[:, None]).sum(0)
    by_coordinate = F.pad(strides, (0, 1))[:, None].expand_as(rank)
    by_rank = torch.empty_like(rank).scatter_(0, rank, by_coordinate)
    for r in range(1, d + 1):  # from vertex to vertex all coordinates rise by 1, and one drops by d + 1
        key[r] = key[r - 1] + strides.sum() - (d + 1) * by_rank[d - r + 1]
    return key, weight, strides


def _steps(strides: Tensor) -> list[int]:
    """Return what a step in each of the d + 1 directions of the lattice adds to a key."""
    d, whole = len(strides), int(strides.sum())
    return [(d + 1) * stride - whole for stride in strides.tolist()] + [-whole]


def _blur(vertices: Tensor, step: int) -> Bags:
    """Build the blur along one direction: a vertex and half of its two neighbours; missing neighbours count as 0."""
    count = len(vertices)
    rows = torch.arange(count, dtype=torch.int32, device=vertices.device)
    place = torch.searchsorted(vertices, vertices + step, out_int32=True).clamp_(max=count - 1)
    there = vertices[place.long()] == vertices + step
    here, beyond = rows[there], place[there]
    neighbours = torch.full((count, 3), -1, dtype=torch.int32, device=vertices.device)
    neighbours[:, 0] = rows
    neighbours[here.long(), 1] = beyond
    neighbours[beyond.long(), 2] = here
    exists = neighbours >= 0
    start = F.pad(exists.sum(1).cumsum(0), (1, 0)).int()
    weight = torch.tensor([1.0, 0.5, 0.5], device=vertices.device).expand(count, 3)[exists]
    return Bags(neighbours[exists], start, weight)
