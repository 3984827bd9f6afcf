"""DuPL: the training step on one screen, in the order of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from torch import Tensor

from dupl.config.kinds import ArgumentsOf, NotNegative, Slot
from dupl.errors import UserError
from dupl.method import equations
from dupl.method.base import complete_weights
from dupl.method.cam import Maps, Present
from dupl.method.class_contrast import ContrastImages
from dupl.method.consistency import ConsistencyInputs
from dupl.method.drop import drawing
from dupl.method.one_stage import OneStage, pixel_shares
from dupl.method.pseudo_labels import PseudoLabels, distributions
from dupl.method.shared_slots import AFFINITY, AVERAGES, CLASS_CONTRAST, REFINE
from dupl.method.students import per_student
from dupl.method.view import View
from dupl.registry import COMPONENTS
from dupl.structures import Clock


@dataclass(frozen=True)
class Weights:
    """Weights of the loss terms in Eq. 9; that of L_cls is 1.

    Attributes:
        ptc: Of the patch token contrast.
        dis: Of the discrepancy loss, lambda_1.
        seg: Of the segmentation loss, lambda_2.
        reg: Of the consistency loss, lambda_3.
        ctc: Of the class token contrast, where it is on (ToCo).
        energy: Of the dense energy, where it is on (ToCo).
        aff: Of the affinity loss, where it is on (AFA).
        l2c: Of the loss by which labels teach the CAMs, where it is on.
        abs: Of the loss of absent classes, where it is on.
    """

    ptc: NotNegative = 0.2
    dis: NotNegative = 0.1
    seg: NotNegative = 0.2
    reg: NotNegative = 0.05
    ctc: NotNegative = 0.5
    energy: NotNegative = 0.05
    aff: NotNegative = 0.1
    l2c: NotNegative = 0.3
    abs: NotNegative = 0.2


@COMPONENTS.register_module()
class DuPL(OneStage):
    """Dual student with trustworthy progressive learning.

    Args:
        weights: Weights of the loss terms besides L_cls: ptc, dis, seg, reg, of ToCo's terms ctc, energy, and of
            AFA's aff, and l2c, abs.
        further: Arguments of ``OneStage``; a component for each of ``SLOTS``.

    Raises:
        UserError: A value lies outside its range, or the components cannot work together.
    """

    SLOTS = (
        Slot("students", mark="DS", null="SingleStudent", of_paper=True, doc="The students, and who teaches whom."),
        Slot(
            "discrepancy",
            mark="L_dis",
            null="NoDiscrepancy",
            of_paper=True,
            starts=True,
            weight="dis",
            doc="Discrepancy loss.",
        ),
        Slot(
            "threshold",
            mark="DTA",
            null="FixedThreshold",
            of_paper=True,
            after=("patch_contrast", "class_contrast", "segmentation"),
            doc="The high threshold over training.",
        ),
        Slot(
            "noise_filter",
            mark="ANF",
            null="TrustAll",
            of_paper=True,
            starts=True,
            after=("segmentation",),
            doc="Filter of noisy labels.",
        ),
        Slot(
            "consistency",
            mark="L_reg",
            null="NoConsistency",
            of_paper=True,
            starts=True,
            after=("segmentation",),
            weight="reg",
            doc="Consistency loss.",
        ),
        Slot("segmentation", mark="L_seg", starts=True, weight="seg", doc="Segmentation loss; it starts the labels."),
        Slot(
            "patch_contrast",
            mark="L_ptc",
            null="NoPatchContrast",
            starts=True,
            weight="ptc",
            doc="Patch token contrast.",
        ),
        REFINE,
        Slot("perturb", after=("consistency",), doc="The strong augmentation."),
        Slot(
            "own_view", mark="Diff. Aug", null="SameView", of_paper=True, optional=True, doc="What each student sees."
        ),
        CLASS_CONTRAST,
        Slot(
            "dense_energy",
            mark="L_energy",
            null="NoDenseEnergy",
            starts=True,
            optional=True,
            weight="energy",
            doc="L_reg of ToCo.",
        ),
        AFFINITY,
        Slot(
            "dis_region",
            null="Everywhere",
            optional=True,
            after=("discrepancy",),
            doc="Which patches the discrepancy loss compares.",
        ),
        Slot("warm_start", null="NoWarmStart", optional=True, doc="Fit of the classifiers before training begins."),
        AVERAGES,
        Slot("detector", null="NoDetector", optional=True, doc="Detector of misled students."),
        Slot(
            "class_teacher",
            mark="Class teacher",
            null="EachItsOwn",
            starts=True,
            optional=True,
            after=("segmentation",),
            doc="Which students' CAMs the labels are made of.",
        ),
        Slot(
            "label_to_cam",
            mark="L_l2c",
            null="NoLabelToCam",
            starts=True,
            optional=True,
            after=("segmentation",),
            weight="l2c",
            doc="CAMs that learn from the labels.",
        ),
        Slot(
            "absent",
            mark="L_abs",
            null="NoAbsentClasses",
            starts=True,
            optional=True,
            after=("segmentation",),
            weight="abs",
            doc="Pixels without a label learn from the tags.",
        ),
    )

    def __init__(
        self,
        *,
        weights: Annotated[dict[str, float] | None, ArgumentsOf(Weights)] = None,
        **further: Any,
    ) -> None:
        super().__init__(**further)
        self.weights = complete_weights(weights, asdict(Weights()))
        if len(self.students) < 2 and not self.own_view.null:
            raise UserError("Diff. Aug without DS: own views need two students; set model.own_view.type=SameView")
        if not self.own_view.null and not self.class_contrast.null:
            raise UserError(
                "Diff. Aug with L_ctc: local crops are cut at the places of the loader's view; set "
                "model.own_view.type=SameView or model.class_contrast.type=NoClassContrast"
            )
        if not self.own_view.null and getattr(self.segmentation, "soft", False):
            raise UserError(
                "Diff. Aug with soft labels: they cannot be carried from view to view; set "
                "model.own_view.type=SameView or model.segmentation.type=CrossEntropy"
            )
        if not self.class_teacher.null:
            self._check_class_teacher()

    def _check_class_teacher(self) -> None:
        """Refuse labels from several students where there is nothing to choose from or to choose by."""
        if self.class_teacher.needs_detector and self.detector.null:
            raise UserError("model.class_teacher reads the detector: set model.detector.type=MaskingDetector")
        if len(self.students) < 2 or not self.own_view.null:
            raise UserError(
                "model.class_teacher reads the CAMs of two students that see the same view: set "
                "model.class_teacher.type=EachItsOwn, or model.students.type=DualStudent and "
                "model.own_view.type=SameView"
            )

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
            seeds: Seeds of the random augmentations, one for each image.
            clock: t and T.
            contrast: Further views of the images, where the class token contrast is on.

        Returns:
            Scalars: "loss" (Eq. 9), its terms "L_...", the mean of tau_h and shares of pixels.
        """
        views = self.own_view(images, boxes, seeds, len(self.students))  # Table 6   Diff. Aug
        outputs = self.forward_students([view.images for view in views])  # Sec. 3.2  psi_i
        tau_h = self.threshold(clock, tags)  # Eq. 5     DTA
        cams = self.compute_cams(views, present, outputs, clock)  # Eq. 1
        self.detect(views, cams, present, clock)
        refined = self.make_labels(views, cams, present, tau_h, clock)  # Sec. 3.1  Y_i
        labels = self.spread_labels(views, cams, refined, present, tau_h, clock)  # AFA
        log_P = per_student(lambda output, _: self.log_probabilities(output.logits, images.shape[-2:]), outputs, labels)
        noisy = per_student(lambda p, label: self.noise_filter(p, label.y, clock), log_P, labels)  # Eq. 6-7  ANF
        trusted = per_student(PseudoLabels.trusted, labels, noisy)
        teachers = self.students.exchange(views)  # Sec. 3.2  who teaches whom
        targets = per_student(self.own_view.carry, self.students.exchange(trusted), teachers, views)
        strong = self.strong_forward(views, seeds, labels, clock)  # Sec. 3.3  P~_i
        decided = per_student(lambda label: label.hard, labels)
        inputs = per_student(ConsistencyInputs, log_P, strong, decided, trusted, targets)
        compared = self.affinity_labels(refined, noisy, trusted, clock)  # AFA
        terms = {
            "L_cls": self.classification(outputs, tags),
            "L_ptc": self.contrast_patches(views, outputs, cams, present, tau_h, clock),
            "L_ctc": self.contrast_classes(contrast, outputs, cams, boxes, seeds, tau_h, clock),  # ToCo
            "L_dis": self.discrepancy(self.dis_region(outputs, cams, self.tau_l), clock),  # Eq. 2-3
            "L_seg": self.segmentation(log_P, self.seg_targets(targets, labels, noisy, present), clock),  # Eq. 4
            "L_reg": self.consistency(inputs),  # Eq. 8
            "L_energy": self.dense_energy(views, log_P, targets, clock),  # ToCo
            "L_aff": self.affinity(outputs, compared, clock),  # AFA
            "L_l2c": self.label_to_cam(self.students, outputs, targets, clock),
            "L_abs": self.absent(views, log_P, targets, tags, clock),
        }
        return equations.total(terms, self.weights) | pixel_shares(views, cams, labels, noisy, tau_h)  # Eq. 9

    def seg_targets(
        self,
        targets: list[Tensor] | None,
        labels: list[PseudoLabels] | None,
        noisy: list[Tensor] | None,
        present: Present,
    ) -> list[Tensor] | None:
        """Return what L_seg learns from: hard labels, or the distributions of the teacher where it takes them."""
        if not getattr(self.segmentation, "soft", False):
            return targets
        soft = per_student(lambda label, noise: distributions(label, noise, present, self.num_classes), labels, noisy)
        return self.students.exchange(soft)

    def choose_cams(self, cams: list[Maps], present: Present, clock: Clock) -> list[Maps]:
        """Return the CAMs that the labels of each student are made of."""
        chosen: list[Maps] = self.class_teacher(cams, present, self.detector, clock)
        return chosen

    def detect(self, views: Sequence[View], cams: list[Maps] | None, present: Present, clock: Clock) -> None:
        """Measure by whole networks which CAMs explain their classes; ``after_step`` takes the numbers in."""
        with self.autocast("cam"), drawing(self, ()):
            self.detector(self.students, views, cams, present, clock)
