"""[L_seg] Segmentation loss: each student learns from the pseudo-labels of the other (Eq. 4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dupl.method import equations
from dupl.method.component import Component
from dupl.registry import COMPONENTS


class _SegmentationLoss(Component):
    def __call__(self, log_P: Sequence[Tensor] | None, targets: Sequence[Tensor] | None) -> Tensor:
        """Compute L_seg, a scalar: the sum over students; 0 before it starts, when there are no targets.

        Args:
            log_P: Log-probabilities of each student, (B, K + 1, H, W).
            targets: Labels that each student learns from, int64 (B, H, W), 255 = none.
        """
        losses = [self.one(p, y) for p, y in zip(log_P or (), targets or (), strict=True)]
        return sum(losses, start=torch.zeros(()))

    @staticmethod
    def one(log_P: Tensor, Y: Tensor) -> Tensor:
        """Compute the loss of one student."""
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
