"""Pseudo-labels from CAMs by two thresholds (Sec. 3.1; released code)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.method.boxes import inside
from dupl.method.cam import Present
from dupl.method.refine import PixelAdaptiveRefinement
from dupl.structures import IGNORE


@dataclass(frozen=True)
class PseudoLabels:
    """The pseudo-labels that one student makes of B images.

    Attributes:
        y: Labels, int64 (B, H, W); 255 where the CAM lies between tau_l and tau_h, and outside the photo.
        hard: The same with the undecided pixels decided by a vote of both thresholds; 255 outside the photo.
        soft: Mean of the refined scores of both thresholds, background first, (B, 1 + M, H, W); 0 outside the photo,
            elsewhere it sums to 1.
    """

    y: Tensor
    hard: Tensor
    soft: Tensor

    def trusted(self, noisy: Tensor) -> Tensor:
        """Return the labels y, 255 also where a pixel is noise, bool (B, H, W)."""
        return self.y.masked_fill(noisy, IGNORE)


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
    """Make the labels of every student from CAMs that are refined with tau_h and with tau_l as the background's score.

    A pixel is foreground where its label with tau_h is foreground, background where both labels are background, else
    255. The affinities are computed once per image, and the score of the background is what the refined foreground
    maps leave (refinement is linear and keeps the sum over classes up to a constant gain).

    Args:
        refine: The refinement.
        images: (B, 3, H, W) in [0, 1].
        maps: CAMs of each student, (B, M, H, W).
        present: The classes of the slots.
        boxes: y0, y1, x0, x1 of the photo in each crop, int64 (B, 4).
        tau_l: Low threshold, in [0, 1].
        tau_h: High threshold of each image, (B,) in [0, 1].
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
    gain = refined.new_full((1, 1, 1, 1), refine.gain)
    return [combine(refined[:, s], present, outside, gain) for s in range(len(maps))]


def combine(scores: Tensor, present: Present, outside: Tensor, gain: Tensor) -> PseudoLabels:
    """Turn scores of the slots into labels.

    Args:
        scores: Refined with tau_h and with tau_l, (B, 2, M, H, W).
        present: The classes of the slots.
        outside: Pixels outside the photo, bool (B, H, W).
        gain: What background and slots sum to, (B, 1, H, W), or of that shape with axes of 1.
    """
    value, winner = scores.max(2)  # (B, 2, H, W)
    is_foreground = value > gain - scores.sum(2)
    high = present.label(winner[:, 0])
    y = torch.where(is_foreground[:, 0], high, torch.where(is_foreground[:, 1], IGNORE, 0))
    both = scores.sum(1)  # both thresholds vote
    best, slot = both.max(1)
    voted = torch.where(best > 2 * gain[:, 0] - both.sum(1), present.label(slot), 0)
    hard = torch.where(y == IGNORE, voted, y)
    background = 2 * gain - both.sum(1, keepdim=True)
    soft = torch.cat([background, both], 1).clamp(min=0) / (2 * gain).clamp(min=1e-12)
    return PseudoLabels(
        y.masked_fill(outside, IGNORE), hard.masked_fill(outside, IGNORE), soft.masked_fill(outside[:, None], 0)
    )


def distributions(labels: PseudoLabels, noisy: Tensor, present: Present, classes: int) -> Tensor:
    """Return the soft labels over all classes, (B, K + 1, H, W), background first; 0 where a pixel is noise.

    Args:
        labels: Pseudo-labels.
        noisy: Pixels that the noise filter discards, bool (B, H, W).
        present: The classes of the slots.
        classes: Classes with background, K + 1.
    """
    soft = labels.soft.masked_fill(noisy[:, None], 0)
    index = torch.cat([torch.zeros_like(present.index[:, :1]), present.index + 1], 1)  # (B, 1 + M)
    valid = torch.cat([torch.ones_like(present.valid[:, :1]), present.valid], 1)
    full = soft.new_zeros(len(soft), classes, *soft.shape[2:])
    return full.scatter_add_(1, index[..., None, None].expand_as(soft), soft * valid[..., None, None])


def _bilinear(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
