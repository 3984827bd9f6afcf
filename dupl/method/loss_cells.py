"""The losses of the images of a batch in ascending order: each loss by itself, or the bins of a histogram."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LossCells:
    """The losses of B images in C cells.

    Attributes:
        count: Losses in each cell, float64 (B, C).
        moments: 1, the loss of the cell and its square, float64 (B, C, 3); the losses ascend.
    """

    count: Tensor
    moments: Tensor

    @classmethod
    def exact(cls, losses: Tensor, chosen: Tensor) -> LossCells:
        """Sort the chosen ones, bool (B, N), of losses (B, N), without waiting for the device; C = N."""
        _, high = _extremes(losses, chosen)
        order = torch.where(chosen, losses, torch.inf).sort(1).values
        count = torch.arange(losses.shape[1], device=losses.device) < chosen.sum(1, keepdim=True)
        return cls(count.double(), _moments(torch.minimum(order, high).double()))

    @classmethod
    def histogram(cls, losses: Tensor, chosen: Tensor, bins: int) -> LossCells:
        """Count the chosen ones in even bins between the extremes of each image, without waiting for the device.

        Args:
            losses: (B, N).
            chosen: Which of them to count, bool (B, N).
            bins: C.
        """
        batch = len(losses)
        low, high = _extremes(losses, chosen)
        width = (high - low).clamp(min=1e-12) / (bins - 1)
        index = ((losses - low) / width).add_(0.5).clamp_(0, bins - 1).long()
        index += torch.arange(batch, device=losses.device)[:, None] * bins
        index = torch.where(chosen, index, batch * bins)  # one more bin for what is not chosen
        ones = torch.ones((), dtype=torch.int32, device=losses.device).expand(index.numel())
        count = torch.zeros(batch * bins + 1, dtype=torch.int32, device=losses.device).index_add_(
            0, index.flatten(), ones
        )
        centre = low.double() + torch.arange(bins, device=losses.device) * width.double()
        return cls(count[:-1].view(batch, bins).double(), _moments(centre))

    def below(self, losses: Tensor) -> Tensor:
        """Return the number of cells below each loss (B, n), int64 (B, n)."""
        return torch.searchsorted(self.moments[..., 1].contiguous(), losses.contiguous())


def _extremes(losses: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest chosen loss of each image, (B, 1); 0 where nothing is chosen."""
    low = torch.where(chosen, losses, torch.inf).amin(1, keepdim=True)
    high = torch.where(chosen, losses, -torch.inf).amax(1, keepdim=True)
    return torch.where(high >= low, low, 0), torch.where(high >= low, high, 0)


def _moments(losses: Tensor) -> Tensor:
    return torch.stack([torch.ones_like(losses), losses, losses**2], 2)
