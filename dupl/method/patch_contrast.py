"""The baseline's patch token contrast: patches of one class alike, of two classes unlike (Sec. 4.1; released code)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.config.kinds import Start
from dupl.method.base import Component
from dupl.method.cam import Maps, Present
from dupl.method.refine import inside
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock, View


def contrast(features: Tensor, labels: Tensor) -> Tensor:
    """0.5 (1 - mean |cos| over pairs of one label) + 0.5 mean |cos| over pairs of two labels.

    Pairs of a patch with itself or with an unlabelled one do not count; each mean is over one pair more than there
    is, as in the released code.

    Args:
        features: (B, D, h, w).
        labels: Patch labels, int64 (B, h, w), 255 = none.
    """
    unit = F.normalize(features.float().flatten(2), dim=1, eps=1e-8)  # (B, D, N)
    likeness = (unit.transpose(1, 2) @ unit).abs()  # (B, N, N)
    y = labels.flatten(1)
    known = y != IGNORE
    pair = known[:, :, None] & known[:, None, :]
    same = y[:, :, None] == y[:, None, :]
    different = (pair & ~same).to(likeness)
    same = (pair & same).to(likeness)
    same.diagonal(dim1=1, dim2=2).zero_()
    alike = (same * likeness).sum() / (same.sum() + 1)
    unlike = (different * likeness).sum() / (different.sum() + 1)
    return 0.5 * (1 - alike) + 0.5 * unlike


def patch_labels(aux: Tensor, present: Present, boxes: Tensor, tau_l: float, tau_h: Tensor) -> Tensor:
    """Labels of the auxiliary CAM on the patch grid.

    Args:
        aux: Maps on the patch grid, (B, M, h, w).
        present: The slots' classes.
        boxes: The photo in patches, y0, y1, x0, x1, int64 (B, 4).
        tau_l: At or below it: background.
        tau_h: Above it, (B,): the strongest class; between: 255.
    """
    value, winner = aux.max(1)
    labels = present.label(winner)
    labels = labels.masked_fill(value <= tau_h[:, None, None], IGNORE).masked_fill(value <= tau_l, 0)
    return labels.masked_fill(~inside(boxes, labels.shape[1:]), IGNORE)


@COMPONENTS.register_module()
class PatchTokenContrast(Component):
    """L_ptc on the final patch tokens, labelled by the auxiliary CAM.

    Args:
        start: First iteration at which it acts. Released code: 0.
        box: Unit in which the photo's box cuts the patch grid: "patches", or "pixels" as in the released code, whose
            pixel box drops whole images that are padded at the top or left by more pixels than the grid has patches.
    """

    def __init__(self, start: Start = 0, box: Literal["patches", "pixels"] = "patches") -> None:
        super().__init__(start)
        if box not in ("patches", "pixels"):
            raise ValueError(f'patch_contrast.box is {box!r}: choose "patches" or "pixels"')
        self.box = box

    def __call__(
        self,
        views: Sequence[View],
        maps: Sequence[Maps],
        present: Present,
        boxes: Tensor,
        tau_l: float,
        tau_h: Tensor,
        clock: Clock,
    ) -> Tensor:
        """L_ptc, a scalar: the sum over students; 0 before ``start``."""
        value = views[0].features.new_zeros((), dtype=torch.float32)
        if not self.active(clock):
            return value
        grid = views[0].features.shape[-2:]
        if self.box == "patches":
            patch = torch.tensor([a // b for a, b in zip(maps[0].aux.shape[-2:], grid, strict=True)])
            boxes = boxes // patch.repeat_interleave(2).to(boxes, non_blocking=True)
        for view, m in zip(views, maps, strict=True):
            aux = F.interpolate(m.aux, size=grid, mode="bilinear", align_corners=False)
            value = value + contrast(view.features, patch_labels(aux, present, boxes, tau_l, tau_h))
        return value


@COMPONENTS.register_module()
class NoPatchContrast(Component):
    """L_ptc switched off: always 0."""

    null = True

    def __call__(self, views: Sequence[View], *_: object) -> Tensor:
        """A scalar 0."""
        return views[0].features.new_zeros((), dtype=torch.float32)
