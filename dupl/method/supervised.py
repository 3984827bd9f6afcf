"""The fully supervised counterpart of Table 3: the same network, trained on true masks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import torch
from torch import Tensor

from dupl.config.kinds import ArgumentsOf, Share
from dupl.errors import UserError
from dupl.method import equations
from dupl.method.base import Inspection, Method, complete_weights
from dupl.method.cam import Present
from dupl.method.dupl import DuPL, Weights
from dupl.registry import COMPONENTS
from dupl.structures import Clock


@COMPONENTS.register_module()
class Supervised(Method):
    """One student that learns from true masks: an upper bound for methods that learn from image-level tags.

    L = L_cls + lambda_2 L_seg, both from the first iteration. L_cls stays, so that the CAMs come from a classifier that
    was trained. The slots are those of ``DuPL``, so that a recipe shows every component switched off.

    The paper says of its counterpart only that it has the same backbone.

    Args:
        tau_l: Not used, as no pseudo-labels are made.
        weights: Weights of the loss terms of ``DuPL``; only that of seg is used.
        further: Arguments of ``Method``; a component for each of ``SLOTS``.

    Raises:
        UserError: A component of DuPL is switched on, or L_seg starts late.
    """

    SLOTS = DuPL.SLOTS
    learns_from_masks = True

    def __init__(
        self,
        *,
        tau_l: Share = 0.25,
        weights: Annotated[dict[str, float] | None, ArgumentsOf(Weights)] = None,
        **further: Any,
    ) -> None:
        super().__init__(**further)
        self.weights = complete_weights(weights, asdict(Weights()))
        if len(self.students) > 1:
            raise UserError("Supervised is one network: set model.students.type=SingleStudent")
        for slot in self.SLOTS:
            part = getattr(self, slot.name)
            if (slot.mark or slot.optional) and slot.null and not part.null:
                raise UserError(
                    f"Supervised learns from masks and cannot use model.{slot.name}={type(part).__name__}: "
                    f"set model.{slot.name}.type={slot.null}"
                )
        if self.segmentation.start > 0:
            raise UserError("Supervised has its labels from the start: set model.segmentation.start=0")

    def loss(self, images: Tensor, tags: Tensor, masks: Tensor, clock: Clock, **_: Any) -> dict[str, Tensor]:
        """Compute the training step.

        Args:
            images: X, (B, 3, H, W), normalised.
            tags: Image-level labels, (B, K) of 0/1.
            masks: True labels, int64 (B, H, W), 255 where there is none.
            clock: t and T.

        Returns:
            Scalars: "loss" and its terms L_cls and L_seg.
        """
        outputs = self.forward_students(images)
        log_P = [self.log_probabilities(output.logits, images.shape[-2:]) for output in outputs]
        terms = {"L_cls": self.classification(outputs, tags), "L_seg": self.segmentation(log_P, [masks], clock)}
        return equations.total(terms, {"seg": self.weights["seg"]})

    @torch.no_grad()
    def inspect(self, images: Tensor, tags: Tensor, present: Present, boxes: Tensor, clock: Clock) -> Inspection:
        """Return CAMs and log-probabilities; there are no pseudo-labels, and so no noise among them."""
        ((_, logits, maps),) = self.predict(images, present)
        cams = None if maps is None else [maps]
        return Inspection(cams, None, None, [self.log_probabilities(logits, images.shape[-2:])])
