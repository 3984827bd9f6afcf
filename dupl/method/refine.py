"""Refinement of CAMs along similar pixels (released code)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.config.kinds import AtLeast, Count, In, NotNegative, Pixels, Positive
from dupl.registry import COMPONENTS

OFFSETS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


@COMPONENTS.register_module()
class PixelAdaptiveRefinement:
    """Pixel-adaptive refinement: scores become affinity-weighted means of 8 neighbours at each dilation.

    Released code; the paper does not mention it, it comes with the baseline. The affinity of a neighbour is
    softmax(-(|difference| / (std of the neighbours w1))^2, mean over colours) + w2 softmax(-(distance / (std w1))^2).

    Args:
        dilations: Distances of the neighbours, in pixels at the reduced resolution.
        iterations: Number of iterations; 0 leaves only the reduced resolution (released code of CoSA).
        w1: Width of both kernels, in standard deviations.
        w2: Weight of the distance kernel.
        downscale: The refinement runs at 1 / downscale of the resolution.
    """

    null: ClassVar[bool] = False

    def __init__(
        self,
        dilations: Annotated[Sequence[Pixels], AtLeast(1)] = (1, 2, 4, 8, 12, 24),
        iterations: Annotated[int, In("[0, inf)")] = 10,
        w1: Positive = 0.3,
        w2: NotNegative = 0.01,
        downscale: Count = 2,
    ) -> None:
        self.shifts = [(d * dy, d * dx) for d in dilations for dy, dx in OFFSETS]
        distance = torch.tensor([d * (dy * dy + dx * dx) ** 0.5 for d in dilations for dy, dx in OFFSETS])
        self.distance = w2 * torch.softmax(-((distance / (distance.std() + 1e-8) / w1) ** 2), 0)  # (N,)
        self.iterations, self.w1, self.downscale = iterations, w1, downscale
        self.gain = (1 + w2) ** iterations  # what a constant map is multiplied by

    def affinity(self, images: Tensor) -> Tensor:
        """Compute the affinity of every neighbour, (N, B, h, w), for images (B, 3, h, w) in [0, 1].

        Without an iteration nothing reads it, and an empty tensor is returned.
        """
        if not self.iterations:
            return images.new_empty(0)
        padded, count = self._pad(images), len(self.shifts)
        total, square = torch.zeros_like(images), torch.zeros_like(images)
        difference = torch.empty_like(images)
        for shift in self.shifts:  # two passes keep one neighbour in memory at a time
            torch.sub(self._shifted(padded, shift, images), images, out=difference)
            total += difference
            square.addcmul_(difference, difference)
        std = ((square - total * total / count) / (count - 1)).clamp_(min=0).sqrt_()  # shift-invariant
        scale = -((1 / (std + 1e-8) / self.w1) ** 2) / images.shape[1]
        logits = images.new_zeros(count, len(images), *images.shape[2:])
        for logit, shift in zip(logits, self.shifts, strict=True):
            torch.sub(self._shifted(padded, shift, images), images, out=difference)
            difference *= difference
            for colour in range(images.shape[1]):
                logit.addcmul_(difference[:, colour], scale[:, colour])
        return logits.softmax(0).add_(self.distance.to(logits)[:, None, None, None])

    def spread(self, affinity: Tensor, maps: Tensor) -> Tensor:
        """Refine maps (B, C, h, w) by all iterations."""
        for _ in range(self.iterations):
            padded = self._pad(maps)
            out = torch.zeros_like(maps)
            for weight, shift in zip(affinity, self.shifts, strict=True):
                out.addcmul_(weight[:, None], self._shifted(padded, shift, maps))
            maps = out
        return maps

    def _pad(self, maps: Tensor) -> Tensor:
        reach = max(dy for dy, _ in self.shifts)
        return F.pad(maps, [reach] * 4, mode="replicate")

    def _shifted(self, padded: Tensor, shift: tuple[int, int], like: Tensor) -> Tensor:
        reach = max(dy for dy, _ in self.shifts)
        height, width = like.shape[-2:]
        y, x = reach + shift[0], reach + shift[1]
        return padded[..., y : y + height, x : x + width]


@COMPONENTS.register_module()
class NoRefinement(PixelAdaptiveRefinement):
    """Refinement switched off: labels come straight from the CAMs."""

    null = True

    def __init__(self) -> None:
        super().__init__(iterations=0, downscale=1)

    def affinity(self, images: Tensor) -> Tensor:
        """Return the images: there is nothing to compute."""
        return images
