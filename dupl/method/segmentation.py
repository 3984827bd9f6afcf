"""[L_seg] Segmentation loss: each student learns from the pseudo-labels of the other (Eq. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.config.kinds import Positive, Start
from dupl.errors import UserError
from dupl.method import equations
from dupl.method.component import Component
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock


def refuse_soft_labels(segmentation: Component, method: str) -> None:
    """Refuse a segmentation loss on soft labels in a method that makes none.

    Raises:
        UserError: It is one.
    """
    if getattr(segmentation, "soft", False):
        raise UserError(
            f"{type(segmentation).__name__} learns from soft labels, which {method} does not make: set "
            "model.segmentation.type=BalancedCrossEntropy"
        )


class _SegmentationLoss(Component):
    """Attributes: soft: Whether the targets are distributions over the classes, (B, K + 1, H, W), not labels."""

    soft: ClassVar[bool] = False

    def __init__(self, start: Start = 0, zero_step: bool = False) -> None:
        super().__init__(start)
        self.zero_step = zero_step

    def __call__(self, log_P: Sequence[Tensor] | None, targets: Sequence[Tensor] | None, clock: Clock) -> Tensor:
        """Compute L_seg, a scalar: the sum over students; 0 before it starts, when there are no targets.

        Args:
            log_P: Log-probabilities of each student, (B, K + 1, H, W).
            targets: Labels that each student learns from, int64 (B, H, W), 255 = none; distributions if ``soft``.
            clock: t and T.
        """
        losses = [self.one(p, y) for p, y in zip(log_P or (), targets or (), strict=True)]
        loss = sum(losses, start=torch.zeros(()))
        return 0 * loss if self.zero_step and clock.t == self.start else loss

    one: Any  # the loss of one student, from its log-probabilities and targets


@COMPONENTS.register_module()
class CrossEntropy(_SegmentationLoss):
    """Eq. 4: the mean over labelled pixels.

    Args:
        start: First iteration with pseudo-labels; before it the heads do not train.
        zero_step: Whether L_seg counts 0 times at ``start``, as in the released code. AdamW then takes a step with zero
            gradients in the heads: it decays their weights, and its bias correction is one step ahead.
    """

    one = staticmethod(equations.cross_entropy)


@COMPONENTS.register_module()
class BalancedCrossEntropy(_SegmentationLoss):
    """Released code: background and foreground weigh half each.

    Args:
        start: First iteration with pseudo-labels; before it the heads do not train.
        zero_step: Whether L_seg counts 0 times at ``start``, as in the released code. AdamW then takes a step with zero
            gradients in the heads: it decays their weights, and its bias correction is one step ahead.
    """

    one = staticmethod(equations.balanced_cross_entropy)


@COMPONENTS.register_module()
class UnguardedBalancedCrossEntropy(_SegmentationLoss):
    """Released code of ToCo: as ``BalancedCrossEntropy``, but NaN where a batch has no background or no foreground.

    NaN ends the training in a line that names L_seg; the released code goes on with weights that are NaN.

    Args:
        start: First iteration with pseudo-labels; before it the heads do not train.
        zero_step: As of ``BalancedCrossEntropy``.
    """

    @staticmethod
    def one(log_P: Tensor, Y: Tensor) -> Tensor:
        """Compute the loss of one student."""
        pixels = F.nll_loss(log_P, Y, ignore_index=IGNORE, reduction="none")
        return 0.5 * (pixels[Y == 0].mean() + pixels[(Y != 0) & (Y != IGNORE)].mean())


@COMPONENTS.register_module()
class CollisionCrossEntropy(_SegmentationLoss):
    """-ln(sum_c y_c P_c) of soft labels y: the refined CAMs themselves, undecided pixels included.

    Source: Zhang et al., *Collision Cross-entropy for Soft Class Labels and Deep Clustering*, 2023.

    Args:
        start: First iteration with pseudo-labels; before it the heads do not train.
        zero_step: As of ``BalancedCrossEntropy``.
        sharpness: Exponent of the soft labels, which are normalised again: above 1 they become harder. Refined CAMs are
            flat: 0.63 for a class of full activation.
        balanced: Whether background and foreground weigh half each, every pixel by its share of both.
    """

    soft = True

    def __init__(
        self, start: Start = 0, zero_step: bool = False, sharpness: Positive = 4.0, balanced: bool = True
    ) -> None:
        super().__init__(start, zero_step)
        self.sharpness, self.balanced = sharpness, balanced

    def one(self, log_P: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of one student from soft labels, (B, K + 1, H, W)."""
        sharp = y**self.sharpness
        sharp = sharp / sharp.sum(1, keepdim=True).clamp(min=1e-12)
        return equations.collision_cross_entropy(log_P, sharp, self.balanced)
