"""AFA: the training step on one screen, in the order of its paper, with components of DuPL and ToCo where they are on.

Source: Ru et al., *Learning Affinity from Attention: End-to-End Weakly-Supervised Semantic Segmentation with
Transformers*, CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from dupl.config.kinds import ArgumentsOf, NotNegative, Slot
from dupl.errors import UserError
from dupl.method import equations
from dupl.method.base import complete_weights
from dupl.method.cam import Present
from dupl.method.class_contrast import ContrastImages
from dupl.method.consistency import ConsistencyInputs
from dupl.method.network import StudentOutput
from dupl.method.one_stage import OneStage, pixel_shares
from dupl.method.pseudo_labels import PseudoLabels
from dupl.method.segmentation import refuse_soft_labels
from dupl.method.shared_slots import (
    AVERAGES,
    CLASS_CONTRAST,
    CONSISTENCY,
    DISCREPANCY,
    NOISE_FILTER,
    PATCH_CONTRAST,
    PERTURB,
    REFINE,
    SEGMENTATION,
    STUDENTS,
    THRESHOLD,
)
from dupl.method.students import per_student
from dupl.method.view import View
from dupl.registry import COMPONENTS
from dupl.structures import Clock


@dataclass(frozen=True)
class AFAWeights:
    """Weights of the loss terms; that of L_cls is 1.

    Attributes:
        aff: Of the affinity loss.
        seg: Of the segmentation loss.
        energy: Of the dense energy, which the paper of AFA calls L_reg.
        ptc: Of ToCo's patch token contrast, where it is on.
        ctc: Of ToCo's class token contrast, where it is on.
        dis: Of DuPL's discrepancy loss, where it is on.
        reg: Of DuPL's consistency loss, where it is on.
    """

    aff: NotNegative = 0.1
    seg: NotNegative = 0.1
    energy: NotNegative = 0.01
    ptc: NotNegative = 0.2
    ctc: NotNegative = 0.5
    dis: NotNegative = 0.1
    reg: NotNegative = 0.05


@COMPONENTS.register_module()
class AFA(OneStage):
    """Affinity from attention: it is learnt from refined CAMs, and CAMs then walk along it to become labels.

    One student as in the paper, or two that teach each other. The network of the paper is ``PyramidNet``; with a plain
    ViT, ``SubNet``, it is a variant of ours.

    Args:
        idle_heads: What happens to segmentation head and affinity before their losses start: "wait", or "decay": they
            take steps with zero gradients, by which AdamW shrinks their weights (released code, which multiplies the
            losses by 0).
        weights: Weights of the loss terms besides L_cls: aff, seg, energy, of ToCo's terms ptc, ctc, and of DuPL's dis,
            reg.
        further: Arguments of ``OneStage``; a component for each of ``SLOTS``.

    Raises:
        UserError: A value lies outside its range, or the components cannot work together.
    """

    SLOTS = (
        STUDENTS,
        Slot(
            "affinity",
            mark="L_aff",
            null="NoAffinity",
            of_paper=True,
            starts=True,
            weight="aff",
            doc="Affinity from attention, and the propagation of CAMs along it.",
        ),
        SEGMENTATION,
        REFINE,
        THRESHOLD,
        Slot(
            "dense_energy",
            mark="L_energy",
            null="NoDenseEnergy",
            starts=True,
            optional=True,
            weight="energy",
            doc="Dense energy, the L_reg of the paper of AFA.",
        ),
        PATCH_CONTRAST,
        CLASS_CONTRAST,
        NOISE_FILTER,
        DISCREPANCY,
        CONSISTENCY,
        PERTURB,
        AVERAGES,
    )

    def __init__(
        self,
        *,
        idle_heads: Literal["wait", "decay"] = "wait",
        weights: Annotated[dict[str, float] | None, ArgumentsOf(AFAWeights)] = None,
        **further: Any,
    ) -> None:
        super().__init__(**further)
        refuse_soft_labels(self.segmentation, type(self).__name__)
        if idle_heads not in ("wait", "decay"):
            raise UserError(f'model.idle_heads is {idle_heads!r}: choose "wait" or "decay"')
        self.idle_heads = idle_heads
        self.weights = complete_weights(weights, asdict(AFAWeights()))

    def loss(
        self,
        images: Tensor,
        tags: Tensor,
        present: Present,
        boxes: Tensor,
        seeds: Sequence[int],
        clock: Clock,
        contrast: ContrastImages | None = None,
    ) -> dict[str, Tensor]:
        """Compute the training step.

        Args:
            images: X, (B, 3, H, W), normalised.
            tags: Image-level labels, (B, K) of 0/1.
            present: The classes of ``tags`` in slots.
            boxes: y0, y1, x0, x1 of the photo in each crop, int64 (B, 4).
            seeds: Seeds of the random draws, one for each image.
            clock: t and T.
            contrast: Further views of the images, where the class token contrast is on.

        Returns:
            Scalars: "loss", its terms "L_...", the mean of tau_h and shares of pixels.
        """
        views = [View(images, boxes)] * len(self.students)
        outputs = self.forward_students(images)  # Sec. 3.1  features and attention
        tau_h = self.threshold(clock, tags)
        cams = self.compute_cams(views, present, outputs, clock)  # Sec. 3.1  CAM, Sec. 3.2  affinity
        refined = self.make_labels(views, cams, present, tau_h, clock)  # Sec. 3.3  PAR
        labels = self.spread_labels(views, cams, refined, present, tau_h, clock)  # Sec. 3.2  random walk
        log_P = per_student(lambda output, _: self.log_probabilities(output.logits, images.shape[-2:]), outputs, labels)
        noisy = per_student(lambda p, label: self.noise_filter(p, label.y, clock), log_P, labels)  # DuPL: ANF
        trusted = per_student(PseudoLabels.trusted, labels, noisy)
        targets = self.students.exchange(trusted)
        strong = self.strong_forward(views, seeds, labels, clock)  # DuPL
        decided = per_student(lambda label: label.hard, labels)
        compared = self.affinity_labels(refined, noisy, trusted, clock)
        terms = {
            "L_cls": self.classification(outputs, tags) + self.idle(outputs),  # Sec. 3.1
            "L_aff": self.affinity(outputs, compared, clock),  # Sec. 3.2
            "L_seg": self.segmentation(log_P, targets, clock),  # Sec. 3.4
            "L_energy": self.dense_energy(views, log_P, targets, clock),  # Sec. 3.4  "L_reg"
            "L_ptc": self.contrast_patches(views, outputs, cams, present, tau_h, clock),  # ToCo
            "L_ctc": self.contrast_classes(contrast, outputs, cams, boxes, seeds, tau_h, clock),  # ToCo
            "L_dis": self.discrepancy(outputs, clock),  # DuPL
            "L_reg": self.consistency(per_student(ConsistencyInputs, log_P, strong, decided, trusted, targets)),  # DuPL
        }
        return equations.total(terms, self.weights) | pixel_shares(views, cams, labels, noisy, tau_h)

    def idle(self, outputs: Sequence[StudentOutput]) -> Tensor:
        """Return 0, with zero gradients for the heads if ``idle_heads`` is "decay"."""
        if self.idle_heads == "wait":
            return outputs[0].scores.new_zeros(())
        heads = [p for net in self.students for p in net.head.parameters()]
        heads += [p for part in self.parts() if isinstance(part, nn.Module) for p in part.parameters()]
        return 0 * torch.stack([p.sum() for p in heads if p.requires_grad]).sum()
