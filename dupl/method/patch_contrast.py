"""[L_ptc] Patch token contrast of the baseline: similar features within a class (Sec. 4.1; released code)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.config.kinds import Share, Start
from dupl.method.boxes import inside
from dupl.method.cam import Maps, Present
from dupl.method.component import Component
from dupl.method.network import StudentOutput
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock


def contrast(features: Tensor, labels: Tensor) -> Tensor:
    """Compute 0.5 (1 - mean |cos| over pairs of one label) + 0.5 mean |cos| over pairs of two labels.

    Pairs of a patch with itself or with an unlabelled patch do not count. Released code: each mean divides by the
    number of pairs plus one.

    Args:
        features: Patch tokens, (B, D, h, w).
        labels: Labels of the patches, int64 (B, h, w), 255 = none.

    Returns:
        A scalar in [0, 1].
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


def patch_labels(
    aux: Tensor, present: Present, boxes: Tensor, tau_l: float, tau_h: Tensor, floor: float = 0.0
) -> Tensor:
    """Label patches by the auxiliary CAM.

    Args:
        aux: CAMs on the patch grid, (B, M, h, w).
        present: The classes of the slots.
        boxes: y0, y1, x0, x1 of the photo in patches, int64 (B, 4).
        tau_l: A patch at or below it is background, in [0, 1].
        tau_h: A patch above it has the strongest class, one in between is 255; (B,) in [0, 1].
        floor: A patch above tau_h but not above this is background.

    Returns:
        Int64 (B, h, w).
    """
    value, winner = aux.max(1)
    labels = present.label(winner).masked_fill(value <= floor, 0)
    labels = labels.masked_fill(value <= tau_h[:, None, None], IGNORE).masked_fill(value <= tau_l, 0)
    return labels.masked_fill(~inside(boxes, labels.shape[1:]), IGNORE)


@COMPONENTS.register_module()
class PatchTokenContrast(Component):
    """L_ptc on the final patch tokens, labelled by the auxiliary CAM.

    Args:
        start: First iteration at which it acts. Released code: 0.
        box: Unit of the photo's box on the patch grid: "patches", or "pixels" as in the released code, where an image
            that is padded at the top or left by more pixels than the grid has patches is left out.
        floor: A patch whose auxiliary CAM is above tau_h but not above this is background; it has no effect while tau_h
            is at least as high. Released code: 0.5 on VOC, 0.45 on COCO.

    Raises:
        ValueError: ``box`` is neither of the two, or ``floor`` lies outside its range.
    """

    needs_aux = True

    def __init__(self, start: Start = 0, box: Literal["patches", "pixels"] = "patches", floor: Share = 0.0) -> None:
        super().__init__(start)
        if box not in ("patches", "pixels"):
            raise ValueError(f'patch_contrast.box is {box!r}: choose "patches" or "pixels"')
        if not 0 <= floor <= 1:
            raise ValueError(f"patch_contrast.floor is {floor}: a threshold on a CAM lies in [0, 1]")
        self.box, self.floor = box, floor

    def __call__(
        self,
        outputs: Sequence[StudentOutput],
        cams: Sequence[Maps] | None,
        present: Present,
        boxes: Tensor,
        tau_l: float,
        tau_h: Tensor,
        clock: Clock,
    ) -> Tensor:
        """Compute L_ptc of students that share a view, a scalar: the sum over them; 0 before ``start``.

        Args:
            outputs: What each student gave.
            cams: CAMs of each student; None before any loss needs them.
            present: The classes of the slots.
            boxes: y0, y1, x0, x1 of the photo in pixels, int64 (B, 4).
            tau_l: Low threshold.
            tau_h: High threshold of each image, (B,).
            clock: t and T.
        """
        value = outputs[0].features.new_zeros((), dtype=torch.float32)
        if cams is None or not self.active(clock):
            return value
        grid = outputs[0].features.shape[-2:]
        if self.box == "patches":
            patch = torch.tensor([a // b for a, b in zip(cams[0].aux.shape[-2:], grid, strict=True)])
            boxes = boxes // patch.repeat_interleave(2).to(boxes, non_blocking=True)
        for output, maps in zip(outputs, cams, strict=True):
            aux = F.interpolate(maps.aux, size=grid, mode="bilinear", align_corners=False)
            value = value + contrast(output.features, patch_labels(aux, present, boxes, tau_l, tau_h, self.floor))
        return value


@COMPONENTS.register_module()
class NoPatchContrast(Component):
    """L_ptc switched off: always 0."""

    null = True

    def __call__(self, outputs: Sequence[StudentOutput], *_: object) -> Tensor:
        """Return a scalar 0."""
        return outputs[0].features.new_zeros((), dtype=torch.float32)
