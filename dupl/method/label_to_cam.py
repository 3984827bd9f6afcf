"""[L_l2c] CAMs that learn from the pseudo-labels of the teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.method.component import Component
from dupl.method.network import StudentOutput
from dupl.method.students import Students
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock


@COMPONENTS.register_module()
class LabelToCam(Component):
    """The labels that a student learns to segment from supervise its class evidence too.

    L_cls asks an image for evidence of each tag anywhere. This term says where: the target of a class in a patch is its
    share of the labelled pixels of the patch. Labels that come from both students thus draw their CAMs together. L_s2c
    of CoSA is alike, with the segmentation in the place of the labels.

    Args:
        start: First iteration at which it acts.
    """

    def __call__(
        self, students: Students, outputs: Sequence[StudentOutput], targets: Sequence[Tensor] | None, clock: Clock
    ) -> Tensor | None:
        """Compute L_l2c, a scalar: the sum over students; None, as without this term, before it starts.

        Args:
            students: The students.
            outputs: What each student gave for the batch, with its gradient.
            targets: Labels that each student learns from, int64 (B, H, W), 255 = none; None before training makes them.
            clock: t and T.
        """
        if targets is None or not self.active(clock):
            return None
        value = outputs[0].features.new_zeros((), dtype=torch.float32)
        for net, output, y in zip(students, outputs, targets, strict=True):
            evidence = net.class_evidence(output.features, output.aux_features)[0]
            value = value + soft_margin(
                evidence, *shares(y, evidence.shape[1], (evidence.shape[-2], evidence.shape[-1]))
            )
        return value


@torch.no_grad()
def shares(y: Tensor, classes: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the share of each class in the labelled pixels of each patch, and how much of the patch is labelled.

    Args:
        y: Labels, int64 (B, H, W), 0 = background, 255 = none.
        classes: K, without background.
        size: Patches, h and w.

    Returns:
        (B, K, h, w) and (B, 1, h, w), both in [0, 1].
    """
    labelled = (y != IGNORE)[:, None]
    each = F.one_hot(y.masked_fill(y == IGNORE, 0), classes + 1)[..., 1:].permute(0, 3, 1, 2)
    weight = F.adaptive_avg_pool2d(labelled.float(), size)
    return F.adaptive_avg_pool2d(each.float(), size) / weight.clamp(min=1e-6), weight


def soft_margin(evidence: Tensor, share: Tensor, weight: Tensor) -> Tensor:
    """Compute the multi-label soft margin of evidence (B, K, h, w), averaged over classes and labelled pixels."""
    losses = F.binary_cross_entropy_with_logits(evidence, share, reduction="none")
    return (losses * weight).sum() / (weight.sum() * evidence.shape[1]).clamp(min=1e-6)


@COMPONENTS.register_module()
class NoLabelToCam(Component):
    """L_l2c switched off: there is no such term."""

    null = True

    def __call__(self, *_: object) -> None:
        """Return None: there is no term."""
