"""k-means with two clusters as scikit-learn starts its Gaussian mixtures, for all images of a batch at once."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.method.loss_cells import LossCells

Init = Literal["sklearn-1.0", "sklearn-1.3"]
INITS: tuple[Init, ...] = ("sklearn-1.0", "sklearn-1.3")
# What numpy's RandomState(0) gives: words of 32 bits, from which it makes whole numbers and doubles.
WORDS = np.random.RandomState(0).randint(0, 2**32, 64, dtype=np.uint32).astype(np.int64)
LLOYD_DOUBLINGS = 8  # doublings of the path of Lloyd's algorithm: 2^8 = 256 steps


def draws(init: Init, count: Tensor) -> tuple[Tensor, Tensor]:
    """Return what scikit-learn's k-means++ draws with ``random_state=0``.

    Args:
        init: "sklearn-1.0" draws the first centre by ``randint``, as up to version 1.2; "sklearn-1.3" by ``choice``.
        count: Number of values to cluster, int64 (B, 1).

    Returns:
        Position of the first centre, int64 (B, 1), and two numbers in [0, 1) for its rivals, float64 (B, 2).
    """
    words = torch.from_numpy(WORDS).to(count.device)
    if init == "sklearn-1.3":
        first, taken = (_double(words[:1], words[1:2]) * count).long(), torch.full_like(count, 2)
    else:  # the first word whose lowest bits are below the count
        mask = count - 1
        for shift in (1, 2, 4, 8, 16):
            mask = mask | (mask >> shift)
        low = words & mask
        taken = (low < count).to(torch.uint8).argmax(1, keepdim=True) + 1
        first = low.gather(1, taken - 1)
    a, b, c, d = (words[taken + i] for i in range(4))
    return first, torch.cat([_double(a, b), _double(c, d)], 1)


def _double(high: Tensor, low: Tensor) -> Tensor:
    """Return the double in [0, 1) that numpy makes of two words."""
    return ((high >> 5).double() * 2**26 + (low >> 6).double()) / 2**53


def kmeans(losses: Tensor, chosen: Tensor, cells: LossCells, init: Init) -> Tensor:
    """Cluster losses by k-means with k = 2, as scikit-learn initialises its mixture.

    Seeded k-means++ on the pixels in their order (a first pixel, then the better of two candidates drawn in proportion
    to squared distance), then Lloyd's steps on the cells. There, two clusters are separated by a cut: the index of the
    first cell above the middle between their centres. The result may be a local optimum, as is that of scikit-learn;
    the masks of the released code depend on it.

    Args:
        losses: (B, N).
        chosen: Which of them to cluster, bool (B, N).
        cells: The chosen ones in ascending order.
        init: How the first centre is drawn, as of ``draws``.

    Returns:
        Whether each cell belongs to the second cluster, 0 or 1, float64 (B, C).
    """
    size = cells.count.shape[1]
    upto = F.pad((cells.count[..., None] * cells.moments).cumsum(1), (0, 0, 1, 0))  # (B, C + 1, 3): sums below a cut
    whole = upto[:, -1:]

    def cut(one: Tensor, other: Tensor) -> Tensor:
        """Count the cells below the middle between two losses, each (B, n); int64 (B, n)."""
        return cells.below((one + other) / 2)

    position, uniform = draws(init, chosen.sum(1, keepdim=True))
    last = losses.shape[1] - 1
    start = losses.gather(1, torch.searchsorted(chosen.cumsum(1), position + 1).clamp(max=last))
    reach = torch.where(chosen, (losses - start) ** 2, 0).cumsum(1, dtype=torch.float64)
    drawn = torch.searchsorted(reach, reach[:, -1:] * uniform).clamp(max=last)
    first, rivals = start.double(), losses.gather(1, drawn).double()  # (B, 1), (B, 2)
    near, far = torch.minimum(first, rivals), torch.maximum(first, rivals)
    left = upto.gather(1, cut(near, far)[..., None].expand(-1, -1, 3))
    sides = ((near, left.unbind(2)), (far, (whole - left).unbind(2)))
    potential = torch.stack([n * c * c - 2 * c * t + q for c, (n, t, q) in sides]).sum(0)
    second = rivals.gather(1, (potential[:, 1:] < potential[:, :1]).long())

    # The next cut after every possible cut: it lies between the centres of the two sides. All are computed at once, and
    # the path from the first cut is followed by doubling, so that no step waits for the one before.
    (n, t, _), (m, u, _) = upto.unbind(2), (whole - upto).unbind(2)
    low, high = t / n.clamp(min=1e-12), u / m.clamp(min=1e-12)  # (B, C + 1)
    onward = cut(low, high)
    total = whole[..., 0].clamp(min=1)
    tolerance = 1e-4 * (whole[..., 2] / total - (whole[..., 1] / total) ** 2).clamp(min=0)
    moved = (low.gather(1, onward) - low) ** 2 + (high.gather(1, onward) - high) ** 2
    path = torch.where(moved > tolerance, onward, torch.arange(size + 1, device=losses.device))
    for _ in range(LLOYD_DOUBLINGS):
        path = path.gather(1, path)
    begin = cut(first, second)
    near, far = torch.minimum(first, second), torch.maximum(first, second)
    still = (low.gather(1, begin) - near) ** 2 + (high.gather(1, begin) - far) ** 2 <= tolerance
    end = onward.gather(1, torch.where(still, begin, onward.gather(1, path.gather(1, begin))))
    above = torch.arange(size, device=losses.device) >= end
    return (above == (second >= first)).double()
