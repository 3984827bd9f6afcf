"""[L_reg] Every pixel matters: discarded pixels must predict the same under strong augmentation (Eq. 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dupl.config.kinds import Share, Start
from dupl.method import equations
from dupl.method.base import Component
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE


@dataclass(frozen=True)
class Evidence:
    """What L_reg knows of one student.

    Attributes:
        P: Log-probabilities on the weak view, (B, K + 1, H, W).
        P_strong: Logits on the strong view, in the weak view's coordinates, (B, K + 1, H, W).
        own: The student's own label with its undecided pixels decided, int64 (B, H, W), 255 outside the photo.
        trusted: The student's own label after the noise filter, int64 (B, H, W).
        lesson: The label that teaches the student, int64 (B, H, W).
    """

    P: Tensor
    P_strong: Tensor
    own: Tensor
    trusted: Tensor
    lesson: Tensor


class _Consistency(Component):
    """Args: start: first iteration at which it acts."""

    def __call__(self, students: Sequence[Evidence]) -> Tensor:
        """L_reg, a scalar: the sum over students; 0 where there is no evidence yet."""
        return sum((equations.consistency(s.P_strong, *self.target(s)) for s in students), start=torch.zeros(()))

    def target(self, student: Evidence) -> tuple[Tensor, Tensor]:
        """Y_i, int64 (B, H, W), and M_i, bool (B, H, W)."""
        raise NotImplementedError


@COMPONENTS.register_module()
class FilteredConsistency(_Consistency):
    """Eq. 8: the target is the student's CAM label, the mask its pixels discarded as unreliable.

    The paper leaves open what Y_i is where the CAM lies between the thresholds; here both thresholds vote.

    Args:
        start: First iteration at which it acts. The paper does not state it.
    """

    def target(self, student: Evidence) -> tuple[Tensor, Tensor]:
        """Y_i and M_i of Eq. 8."""
        return student.own, (student.trusted == IGNORE) & (student.own != IGNORE)


@COMPONENTS.register_module()
class ConfidentConsistency(_Consistency):
    """Released code: the target is the student's own prediction on the weak view, where it is sure.

    The mask holds the pixels that its lesson leaves unlabelled, padding outside the photo included.

    Args:
        confidence: Least softmax maximum of a target, in [0, 1].
        start: First iteration at which it acts.
    """

    def __init__(self, confidence: Share = 0.9, start: Start = 8000) -> None:
        super().__init__(start)
        if not 0 <= confidence <= 1:
            raise ValueError(f"consistency.confidence is {confidence}: a probability lies in [0, 1]")
        self.confidence = confidence

    def target(self, student: Evidence) -> tuple[Tensor, Tensor]:
        """The student's argmax and where to use it."""
        log_sureness, prediction = student.P.detach().max(1)
        return prediction, (student.lesson == IGNORE) & (log_sureness.exp() > self.confidence)


@COMPONENTS.register_module()
class NoConsistency(Component):
    """L_reg switched off: always 0, and no strong view is made."""

    null = True

    def __call__(self, students: Sequence[Evidence]) -> Tensor:
        """A scalar 0."""
        return torch.zeros(())
