"""From CAMs to pseudo-labels: pixel-adaptive refinement and the two thresholds (Sec. 3.1; released code)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.config.kinds import Count, In, NotNegative, Pixels, Positive
from dupl.method.cam import Present
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE

OFFSETS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True)
class PseudoLabels:
    """What one student's CAMs say of B images.

    Attributes:
        y: Labels, int64 (B, H, W); 255 where undecided between tau_l and tau_h or outside the photo.
        hard: The same without undecided pixels: there both thresholds vote; 255 outside the photo.
    """

    y: Tensor
    hard: Tensor


@COMPONENTS.register_module()
class PixelAdaptiveRefinement:
    """Spreads scores along alike pixels: each becomes the affinity-weighted mean of 8 neighbours at each dilation.

    Source: released code (the paper does not mention it; it comes with the baseline). The affinity of a neighbour is
    softmax(-(|difference| / (std of the neighbours w1))^2, mean over colours) + w2 softmax(-(distance / (std w1))^2).

    Args:
        dilations: Distances of the neighbours, in pixels at the reduced resolution.
        iterations: Rounds of spreading.
        w1: Width of both kernels, in standard deviations.
        w2: Weight of the distance kernel.
        downscale: The refinement runs at 1 / downscale of the resolution.
    """

    def __init__(
        self,
        dilations: Sequence[Pixels] = (1, 2, 4, 8, 12, 24),
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
        """Affinity of every neighbour, (N, B, h, w), for images (B, 3, h, w) in [0, 1]."""
        padded, count = self._pad(images), len(self.shifts)
        total, square = torch.zeros_like(images), torch.zeros_like(images)
        difference = torch.empty_like(images)
        for shift in self.shifts:  # two passes keep one neighbour in memory at a time
            torch.sub(self._view(padded, shift, images), images, out=difference)
            total += difference
            square.addcmul_(difference, difference)
        std = ((square - total * total / count) / (count - 1)).clamp_(min=0).sqrt_()  # shift-invariant
        scale = -((1 / (std + 1e-8) / self.w1) ** 2) / images.shape[1]
        logits = images.new_zeros(count, len(images), *images.shape[2:])
        for logit, shift in zip(logits, self.shifts, strict=True):
            torch.sub(self._view(padded, shift, images), images, out=difference)
            difference *= difference
            for colour in range(images.shape[1]):
                logit.addcmul_(difference[:, colour], scale[:, colour])
        return logits.softmax(0).add_(self.distance.to(logits)[:, None, None, None])

    def spread(self, affinity: Tensor, maps: Tensor) -> Tensor:
        """Run all iterations on maps (B, C, h, w)."""
        for _ in range(self.iterations):
            padded = self._pad(maps)
            out = torch.zeros_like(maps)
            for weight, shift in zip(affinity, self.shifts, strict=True):
                out.addcmul_(weight[:, None], self._view(padded, shift, maps))
            maps = out
        return maps

    def _pad(self, maps: Tensor) -> Tensor:
        reach = max(dy for dy, _ in self.shifts)
        return F.pad(maps, [reach] * 4, mode="replicate")

    def _view(self, padded: Tensor, shift: tuple[int, int], like: Tensor) -> Tensor:
        reach = max(dy for dy, _ in self.shifts)
        height, width = like.shape[-2:]
        y, x = reach + shift[0], reach + shift[1]
        return padded[..., y : y + height, x : x + width]


@COMPONENTS.register_module()
class NoRefinement(PixelAdaptiveRefinement):
    """Refinement switched off: labels straight from the CAMs."""

    def __init__(self) -> None:
        super().__init__(iterations=0, downscale=1)

    def affinity(self, images: Tensor) -> Tensor:
        """Nothing to compute."""
        return images


@torch.no_grad()
def pseudo_labels(
    refine: PixelAdaptiveRefinement,
    images: Tensor,
    maps: Sequence[Tensor],
    present: Present,
    boxes: Tensor,
    tau_l: float,
    tau_h: Tensor,
) -> list[PseudoLabels]:
    """Labels of every student, refined once with tau_h and once with tau_l as the background's score.

    Foreground where the tau_h label is foreground; background where both are background; else 255. The affinities are
    computed once per image, and the background's map is what the refined foreground maps leave (refinement is linear
    and keeps the sum over classes up to a constant gain).

    Args:
        refine: The refinement.
        images: (B, 3, H, W) in [0, 1].
        maps: Each student's CAMs, (B, M, H, W).
        present: The slots' classes.
        boxes: y0, y1, x0, x1 of the photo in each crop, int64 (B, 4).
        tau_l: Low threshold.
        tau_h: High threshold of each image, (B,).
    """
    size = images.shape[-2:]
    small = [side // refine.downscale for side in size]

    def reduce(x: Tensor) -> Tensor:
        return x if list(x.shape[-2:]) == small else _bilinear(x, small)

    batch, slots = present.valid.shape
    stacked = torch.stack([reduce(m) for m in maps], 1)  # (B, S, M, h, w)
    stacked = stacked.masked_fill(~present.valid[:, None, :, None, None], -torch.inf)
    scores = []
    for tau in (tau_h, torch.full_like(tau_h, tau_l)):
        background = tau[:, None, None, None, None].expand(-1, len(maps), 1, *small)
        scores.append(torch.cat([background, stacked], 2).softmax(2)[:, :, 1:])
    foreground = torch.stack(scores, 2)  # (B, S, 2, M, h, w), the second axis of two: tau_h, tau_l
    refined = refine.spread(refine.affinity(reduce(images)), foreground.flatten(1, 3))
    refined = _bilinear(refined, size).view(batch, len(maps), 2, slots, *size)
    outside = ~inside(boxes, size)
    return [_combine(refined[:, s], present, outside, refine.gain) for s in range(len(maps))]


def _combine(scores: Tensor, present: Present, outside: Tensor, gain: float) -> PseudoLabels:
    """Scores (B, 2, M, H, W) of foreground slots for tau_h and tau_l -> labels."""
    value, winner = scores.max(2)  # (B, 2, H, W)
    is_foreground = value > gain - scores.sum(2)
    high = present.label(winner[:, 0])
    y = torch.where(is_foreground[:, 0], high, torch.where(is_foreground[:, 1], IGNORE, 0))
    both = scores.sum(1)  # the vote of both thresholds
    best, slot = both.max(1)
    voted = torch.where(best > 2 * gain - both.sum(1), present.label(slot), 0)
    hard = torch.where(y == IGNORE, voted, y)
    return PseudoLabels(y.masked_fill(outside, IGNORE), hard.masked_fill(outside, IGNORE))


def inside(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Bool (B, H, W), True in each image's box (B, 4) of y0, y1, x0, x1."""
    rows = torch.arange(size[0], device=boxes.device)
    columns = torch.arange(size[1], device=boxes.device)
    y0, y1, x0, x1 = boxes[..., None].unbind(1)
    in_rows = (rows >= y0) & (rows < y1)
    in_columns = (columns >= x0) & (columns < x1)
    return in_rows[:, :, None] & in_columns[:, None, :]


def _bilinear(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
