"""The fully supervised counterpart of Table 3: the same network, taught by true masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dupl.errors import UserError
from dupl.method import equations
from dupl.method.cam import Maps, Present
from dupl.method.dupl import DuPL, ToDevice
from dupl.method.refine import PseudoLabels
from dupl.registry import COMPONENTS
from dupl.structures import Clock

OFF = ("own_view", "discrepancy", "threshold", "noise_filter", "consistency", "patch_contrast")


@COMPONENTS.register_module()
class Supervised(DuPL):
    """One student of ``DuPL`` whose labels are the true masks: an upper bound, and no method on tags.

    L = L_cls + lambda_2 L_seg, both from the first iteration. L_cls stays, so that CAMs are of a classifier that was
    trained. It takes what ``DuPL`` takes, so that a recipe shows every component switched off.

    The paper says of its counterpart only that it has the same backbone.

    Raises:
        UserError: A component of the method is on, or L_seg starts late.
    """

    learns_from_masks = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.data_preprocessor = WithMasks()
        if len(self.students) > 1:
            raise UserError("Supervised is one network: set model.students.type=SingleStudent")
        for name in OFF:
            if not getattr(self, name).null:
                on = type(getattr(self, name)).__name__
                raise UserError(f"Supervised learns from masks, so that model.{name}={on} means nothing: switch it off")
        if self.segmentation.start > 0:
            raise UserError("Supervised has its labels from the start: set model.segmentation.start=0")

    def loss(  # type: ignore[override]  # the masks that no other model gets
        self,
        images: Tensor,
        tags: Tensor,
        present: Present,
        boxes: Tensor,
        seeds: Sequence[int],
        clock: Clock,
        masks: Tensor,
    ) -> dict[str, Tensor]:
        """The training step.

        Args:
            images: X, (B, 3, H, W), normalised.
            tags: Image-level labels, (B, K) of 0/1.
            present: Not used, nor are boxes, seeds and clock.
            boxes: See there.
            seeds: See there.
            clock: See there.
            masks: True labels, int64 (B, H, W), 255 where there is none.

        Returns:
            Scalars: "loss" and its terms L_cls and L_seg.
        """
        views = self.forward_students(images)
        P = [self.to_pixels(view.logits, images) for view in views]
        terms = {"L_cls": self.classification(views, tags), "L_seg": self.segmentation(P, [masks])}
        return equations.total(terms, {"seg": self.weights["seg"]})

    @torch.no_grad()
    def inspect(
        self, images: Tensor, tags: Tensor, present: Present, boxes: Tensor, clock: Clock
    ) -> tuple[list[Maps], list[PseudoLabels], list[Tensor], list[Tensor]]:
        """CAMs and log-probabilities; there are no pseudo-labels, and no noise among them."""
        ((_, logits, maps),) = self.predict(images, present)
        return [maps] if maps is not None else [], [], [], [self.to_pixels(logits, images)]


class WithMasks(ToDevice):
    """Makes the model's batch from a loader's, masks included."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """As the base, and mask (B, H, W)."""
        masks = data["mask"].to(device=self.device, non_blocking=True)
        return {**super().forward(data, training), "masks": masks}
