"""[L_reg] Consistency under strong augmentation for the pixels without a pseudo-label (Eq. 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dupl.config.kinds import Share, Start
from dupl.method import equations
from dupl.method.component import Component
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE


@dataclass(frozen=True)
class ConsistencyInputs:
    """What L_reg of one student is computed from.

    Attributes:
        log_P: Log-probabilities on the weak view, (B, K + 1, H, W).
        strong_logits: Logits on the strong view, in the coordinates of the weak view, (B, K + 1, H, W).
        own: The student's own label in which undecided pixels are decided, int64 (B, H, W), 255 outside the photo.
        trusted: The student's own label after the noise filter, int64 (B, H, W), 255 = none.
        target: The label that the student learns from, int64 (B, H, W), 255 = none.
    """

    log_P: Tensor
    strong_logits: Tensor
    own: Tensor
    trusted: Tensor
    target: Tensor


class _Consistency(Component):
    def __call__(self, students: Sequence[ConsistencyInputs] | None) -> Tensor:
        """Compute L_reg, a scalar: the sum over students; 0 before it starts, when there are no inputs."""
        losses = [equations.consistency(s.strong_logits, *self.target(s)) for s in students or ()]
        return sum(losses, start=torch.zeros(()))

    def target(self, student: ConsistencyInputs) -> tuple[Tensor, Tensor]:
        """Return Y_i, int64 (B, H, W), and M_i, bool (B, H, W)."""
        raise NotImplementedError


@COMPONENTS.register_module()
class FilteredConsistency(_Consistency):
    """Eq. 8: the target is the student's CAM label, the mask its pixels that were discarded as unreliable.

    The paper leaves open what Y_i is where the CAM lies between the thresholds; here both thresholds vote.

    Args:
        start: First iteration at which it acts. The paper does not state it.
    """

    def target(self, student: ConsistencyInputs) -> tuple[Tensor, Tensor]:
        """Return Y_i and M_i of Eq. 8."""
        return student.own, (student.trusted == IGNORE) & (student.own != IGNORE)


@COMPONENTS.register_module()
class ConfidentConsistency(_Consistency):
    """Released code: the target is the student's own prediction on the weak view, where it is confident.

    The mask holds the pixels that the student's target leaves unlabelled, padding outside the photo included.

    Args:
        confidence: Least softmax maximum of a target, in [0, 1].
        start: First iteration at which it acts.

    Raises:
        ValueError: ``confidence`` lies outside its range.
    """

    def __init__(self, confidence: Share = 0.9, start: Start = 8000) -> None:
        super().__init__(start)
        if not 0 <= confidence <= 1:
            raise ValueError(f"consistency.confidence is {confidence}: a probability lies in [0, 1]")
        self.confidence = confidence

    def target(self, student: ConsistencyInputs) -> tuple[Tensor, Tensor]:
        """Return the student's argmax, and the unlabelled pixels where it is confident."""
        log_confidence, prediction = student.log_P.detach().max(1)
        return prediction, (student.target == IGNORE) & (log_confidence.exp() > self.confidence)


@COMPONENTS.register_module()
class NoConsistency(Component):
    """L_reg switched off: always 0, and no strong view is made."""

    null = True

    def __call__(self, students: Sequence[ConsistencyInputs] | None) -> Tensor:
        """Return a scalar 0."""
        return torch.zeros(())
