"""[L_seg] Each student learns from the other's pseudo-labels (Eq. 4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dupl.method import equations
from dupl.method.base import Component
from dupl.registry import COMPONENTS


class _SegmentationLoss(Component):
    def __call__(self, P: Sequence[Tensor], lessons: Sequence[Tensor]) -> Tensor:
        """L_seg, a scalar: the sum over students of their loss on their lesson; 0 before any lesson.

        Args:
            P: Logits or log-probabilities of each student, (B, K + 1, H, W).
            lessons: Labels that teach each student, int64 (B, H, W), 255 = none.
        """
        return sum((self.one(p, y) for p, y in zip(P, lessons, strict=True)), start=torch.zeros(()))

    @staticmethod
    def one(P: Tensor, Y: Tensor) -> Tensor:
        """The loss of one student."""
        raise NotImplementedError


@COMPONENTS.register_module()
class CrossEntropy(_SegmentationLoss):
    """Eq. 4: the mean over labelled pixels.

    Args:
        start: First iteration with pseudo-labels; before it the heads do not train.
    """

    one = staticmethod(equations.cross_entropy)


@COMPONENTS.register_module()
class BalancedCrossEntropy(_SegmentationLoss):
    """Released code: background and foreground weigh half each.

    Args:
        start: First iteration with pseudo-labels; before it the heads do not train.
    """

    one = staticmethod(equations.balanced_cross_entropy)
