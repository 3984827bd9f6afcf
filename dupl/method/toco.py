"""ToCo: the training step on one screen, in the order of its paper, with the components of DuPL where they are on.

Source: Ru et al., *Token Contrast for Weakly-Supervised Semantic Segmentation*, CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from torch import Tensor

from dupl.config.kinds import ArgumentsOf, NotNegative, Slot
from dupl.method import equations
from dupl.method.base import complete_weights
from dupl.method.cam import Present
from dupl.method.class_contrast import ContrastImages
from dupl.method.consistency import ConsistencyInputs
from dupl.method.one_stage import OneStage, pixel_shares
from dupl.method.pseudo_labels import PseudoLabels
from dupl.method.segmentation import refuse_soft_labels
from dupl.method.shared_slots import (
    AFFINITY,
    AVERAGES,
    CONSISTENCY,
    DENSE_ENERGY,
    DISCREPANCY,
    NOISE_FILTER,
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
class ToCoWeights:
    """Weights of the loss terms; that of L_cls, both classifiers together, is 1.

    Attributes:
        ptc: Of the patch token contrast.
        ctc: Of the class token contrast.
        seg: Of the segmentation loss.
        energy: Of the dense energy, which the paper of ToCo calls L_reg.
        dis: Of DuPL's discrepancy loss, where it is on.
        reg: Of DuPL's consistency loss, where it is on.
        aff: Of the affinity loss of AFA, where it is on.
    """

    ptc: NotNegative = 0.2
    ctc: NotNegative = 0.5
    seg: NotNegative = 0.1
    energy: NotNegative = 0.05
    dis: NotNegative = 0.1
    reg: NotNegative = 0.05
    aff: NotNegative = 0.1


@COMPONENTS.register_module()
class ToCo(OneStage):
    """Token contrast: patch tokens and class tokens are contrasted against over-smoothing.

    One student as in the paper, or two that teach each other. DuPL's components are off unless a recipe states them.

    Args:
        weights: Weights of the loss terms besides L_cls: ptc, ctc, seg, energy, of DuPL's terms dis, reg, and
            of AFA's aff.
        further: Arguments of ``OneStage``; a component for each of ``SLOTS``.

    Raises:
        UserError: A value lies outside its range, or the components cannot work together.
    """

    SLOTS = (
        STUDENTS,
        Slot(
            "patch_contrast",
            mark="L_ptc",
            null="NoPatchContrast",
            of_paper=True,
            starts=True,
            weight="ptc",
            doc="Patch tokens.",
        ),
        Slot(
            "class_contrast",
            mark="L_ctc",
            null="NoClassContrast",
            of_paper=True,
            starts=True,
            weight="ctc",
            doc="Class tokens.",
        ),
        SEGMENTATION,
        DENSE_ENERGY,
        REFINE,
        THRESHOLD,
        NOISE_FILTER,
        DISCREPANCY,
        CONSISTENCY,
        AFFINITY,
        PERTURB,
        AVERAGES,
    )

    def __init__(
        self, *, weights: Annotated[dict[str, float] | None, ArgumentsOf(ToCoWeights)] = None, **further: Any
    ) -> None:
        super().__init__(**further)
        refuse_soft_labels(self.segmentation, type(self).__name__)
        self.weights = complete_weights(weights, asdict(ToCoWeights()))

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
        outputs = self.forward_students(images)  # Sec. 3.1  patch and class tokens
        tau_h = self.threshold(clock, tags)
        cams = self.compute_cams(views, present, outputs, clock)  # Sec. 3.1  CAM, Sec. 3.3 auxiliary CAM
        refined = self.make_labels(views, cams, present, tau_h, clock)  # Sec. 3.5
        labels = self.spread_labels(views, cams, refined, present, tau_h, clock)  # AFA
        log_P = per_student(lambda output, _: self.log_probabilities(output.logits, images.shape[-2:]), outputs, labels)
        noisy = per_student(lambda p, label: self.noise_filter(p, label.y, clock), log_P, labels)  # DuPL: ANF
        trusted = per_student(PseudoLabels.trusted, labels, noisy)
        targets = self.students.exchange(trusted)
        strong = self.strong_forward(views, seeds, labels, clock)  # DuPL
        decided = per_student(lambda label: label.hard, labels)
        compared = self.affinity_labels(refined, noisy, trusted, clock)  # AFA
        terms = {
            "L_cls": self.classification(outputs, tags),  # Sec. 3.5
            "L_ptc": self.contrast_patches(views, outputs, cams, present, tau_h, clock),  # Sec. 3.3
            "L_ctc": self.contrast_classes(contrast, outputs, cams, boxes, seeds, tau_h, clock),  # Sec. 3.4
            "L_seg": self.segmentation(log_P, targets, clock),  # Sec. 3.5
            "L_energy": self.dense_energy(views, log_P, targets, clock),  # Sec. 3.5  "L_reg"
            "L_dis": self.discrepancy(outputs, clock),  # DuPL
            "L_aff": self.affinity(outputs, compared, clock),  # AFA
            "L_reg": self.consistency(per_student(ConsistencyInputs, log_P, strong, decided, trusted, targets)),  # DuPL
        }
        return equations.total(terms, self.weights) | pixel_shares(views, cams, labels, noisy, tau_h)
