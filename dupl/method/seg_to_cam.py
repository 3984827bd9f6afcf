"""[L_s2c] CAMs that learn from the segmentation of the assignment network (CoSA)."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.config.kinds import In, Start
from dupl.method.assignment import Assignment
from dupl.method.cam import Present
from dupl.method.component import Component
from dupl.registry import COMPONENTS
from dupl.structures import Clock


@COMPONENTS.register_module()
class SegToCam(Component):
    """The segmentation of the assignment network supervises the class evidence of the online network.

    The target of a class is its probability by a sharp softmax over background and the image's classes, averaged in
    each patch; the loss is the multi-label soft margin over all patches.

    Args:
        start: First iteration at which it acts. Released code: 6001 on VOC, 10001 on COCO.
        temperature: Divides the logits before the softmax.

    Raises:
        ValueError: ``temperature`` is not positive.
    """

    def __init__(self, start: Start = 0, temperature: Annotated[float, In("(0, inf)")] = 0.01) -> None:
        super().__init__(start)
        if not temperature > 0:
            raise ValueError(f"seg_to_cam.temperature is {temperature}: it must be positive")
        self.temperature = temperature

    def __call__(self, evidence: Tensor, assigned: Assignment | None, present: Present, clock: Clock) -> Tensor:
        """Compute L_s2c, a scalar; 0 before it starts.

        Args:
            evidence: Sums inside Eq. 1 of the online network, (B, K, h, w), with their gradient.
            assigned: What the assignment network made of the batch.
            present: The classes of the slots.
            clock: t and T.
        """
        if assigned is None or not self.active(clock):
            return evidence.new_zeros(())
        targets = self.targets(assigned.logits, present, evidence)
        classes = evidence.shape[1]
        scores, wanted = (maps.permute(0, 2, 3, 1).reshape(-1, classes) for maps in (evidence.relu(), targets))
        return F.multilabel_soft_margin_loss(scores, wanted)

    @torch.no_grad()
    def targets(self, logits: Tensor, present: Present, like: Tensor) -> Tensor:
        """Return the share of each class in each patch, (B, K, h, w) in [0, 1]; 0 for classes that an image lacks.

        Args:
            logits: Of background and slots, (B, M + 1, H, W).
            present: The classes of the slots.
            like: A tensor (B, K, h, w).
        """
        absent = torch.cat([torch.zeros_like(present.valid[:, :1]), ~present.valid], 1)  # background is never absent
        logits = logits.masked_fill(absent[..., None, None], -torch.inf)
        P = (logits / self.temperature).softmax(1)[:, 1:]  # (B, M, H, W)
        P = F.interpolate(P, size=like.shape[-2:], mode="bilinear", align_corners=False)
        where = present.index[..., None, None].expand_as(P)
        return torch.zeros_like(like, dtype=P.dtype).scatter_add_(1, where, P)


@COMPONENTS.register_module()
class NoSegToCam(Component):
    """L_s2c switched off: there is no such term."""

    null = True

    def __call__(self, *_: object) -> None:
        """Return None: there is no term."""
