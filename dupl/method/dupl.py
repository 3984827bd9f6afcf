"""DuPL: the training step on one screen, in the order of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from dupl.config.kinds import ArgumentsOf, NotNegative, Share, Slot
from dupl.errors import UserError
from dupl.method import equations
from dupl.method.base import Inspection, Method, complete_weights
from dupl.method.boxes import inside
from dupl.method.cam import Maps, Present, multi_scale_cam
from dupl.method.consistency import ConsistencyInputs
from dupl.method.network import StudentOutput
from dupl.method.pixels import denormalise, normalise
from dupl.method.pseudo_labels import PseudoLabels, pseudo_labels
from dupl.method.students import per_student
from dupl.method.view import View, shared
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock


@dataclass(frozen=True)
class Weights:
    """Weights of the loss terms in Eq. 9; that of L_cls is 1.

    Attributes:
        ptc: Of the patch token contrast.
        dis: Of the discrepancy loss, lambda_1.
        seg: Of the segmentation loss, lambda_2.
        reg: Of the consistency loss, lambda_3.
    """

    ptc: NotNegative = 0.2
    dis: NotNegative = 0.1
    seg: NotNegative = 0.2
    reg: NotNegative = 0.05


@COMPONENTS.register_module()
class DuPL(Method):
    """Dual student with trustworthy progressive learning.

    Args:
        tau_l: Low threshold of the pseudo-labels, in [0, 1].
        weights: Weights of the loss terms besides L_cls: ptc, dis, seg, reg.
        further: Arguments of ``Method``; a component for each of ``SLOTS``.

    Raises:
        UserError: A value lies outside its range, or the components cannot work together.
    """

    SLOTS = (
        Slot("students", mark="DS", null="SingleStudent", of_paper=True, doc="The students, and who teaches whom."),
        Slot("discrepancy", mark="L_dis", null="NoDiscrepancy", of_paper=True, starts=True, doc="Discrepancy loss."),
        Slot("threshold", mark="DTA", null="FixedThreshold", of_paper=True, doc="The high threshold over training."),
        Slot("noise_filter", mark="ANF", null="TrustAll", of_paper=True, starts=True, doc="Filter of noisy labels."),
        Slot("consistency", mark="L_reg", null="NoConsistency", of_paper=True, starts=True, doc="Consistency loss."),
        Slot("segmentation", mark="L_seg", starts=True, doc="Segmentation loss; it starts the pseudo-labels."),
        Slot("patch_contrast", mark="L_ptc", null="NoPatchContrast", starts=True, doc="Patch token contrast."),
        Slot("refine", null="NoRefinement", doc="Refinement of the CAMs before the pseudo-labels."),
        Slot("perturb", doc="The strong augmentation."),
        Slot(
            "own_view", mark="Diff. Aug", null="SameView", of_paper=True, optional=True, doc="What each student sees."
        ),
    )

    def __init__(
        self,
        *,
        tau_l: Share = 0.25,
        weights: Annotated[dict[str, float] | None, ArgumentsOf(Weights)] = None,
        **further: Any,
    ) -> None:
        super().__init__(**further)
        if not 0 <= tau_l <= 1:
            raise UserError(f"model.tau_l is {tau_l}: a threshold on a CAM lies in [0, 1]")
        self.tau_l, self.weights = tau_l, complete_weights(weights, asdict(Weights()))
        if len(self.students) < 2 and not self.discrepancy.null:
            raise UserError(
                "L_dis without DS: a discrepancy needs two students; set model.discrepancy.type=NoDiscrepancy"
            )
        if len(self.students) < 2 and not self.own_view.null:
            raise UserError("Diff. Aug without DS: own views need two students; set model.own_view.type=SameView")

    def loss(
        self,
        images: Tensor,
        tags: Tensor,
        present: Present,
        boxes: Tensor,
        seeds: Sequence[int],
        clock: Clock,
    ) -> dict[str, Tensor]:
        """Compute the training step.

        Args:
            images: X, (B, 3, H, W), normalised.
            tags: Image-level labels, (B, K) of 0/1.
            present: The classes of ``tags`` in slots.
            boxes: y0, y1, x0, x1 of the photo in each crop, int64 (B, 4).
            seeds: Seeds of the random augmentations, one for each image.
            clock: t and T.

        Returns:
            Scalars: "loss" (Eq. 9), its terms "L_...", the mean of tau_h and shares of pixels.
        """
        views = self.own_view(images, boxes, seeds, len(self.students))  # Table 6   Diff. Aug
        outputs = self.forward_students([view.images for view in views])  # Sec. 3.2  psi_i
        tau_h = self.threshold(clock, tags)  # Eq. 5     DTA
        cams = self.compute_cams(views, present, outputs, clock)  # Eq. 1
        labels = self.make_labels(views, cams, present, tau_h, clock)  # Sec. 3.1  Y_i
        log_P = per_student(lambda output, _: self.log_probabilities(output.logits, images.shape[-2:]), outputs, labels)
        noisy = per_student(lambda p, label: self.noise_filter(p, label.y, clock), log_P, labels)  # Eq. 6-7  ANF
        trusted = per_student(lambda label, noise: label.y.masked_fill(noise, IGNORE), labels, noisy)
        teachers = self.students.exchange(views)  # Sec. 3.2  who teaches whom
        targets = per_student(self.own_view.carry, self.students.exchange(trusted), teachers, views)
        strong = self.strong_forward(views, seeds, labels, clock)  # Sec. 3.3  P~_i
        decided = per_student(lambda label: label.hard, labels)
        inputs = per_student(ConsistencyInputs, log_P, strong, decided, trusted, targets)
        terms = {
            "L_cls": self.classification(outputs, tags),
            "L_ptc": self.contrast(views, outputs, cams, present, tau_h, clock),
            "L_dis": self.discrepancy(outputs, clock),  # Eq. 2-3
            "L_seg": self.segmentation(log_P, targets),  # Eq. 4
            "L_reg": self.consistency(inputs),  # Eq. 8
        }
        return equations.total(terms, self.weights) | pixel_shares(views, labels, noisy, tau_h)  # Eq. 9

    @torch.no_grad()
    def inspect(self, images: Tensor, tags: Tensor, present: Present, boxes: Tensor, clock: Clock) -> Inspection:
        """Return what the training step makes of a batch; the students see the same view of it.

        Args:
            images: (B, 3, H, W), normalised.
            tags: (B, K) of 0/1.
            present: The classes of ``tags`` in slots.
            boxes: y0, y1, x0, x1 of the photo, int64 (B, 4).
            clock: t and T.
        """
        views, outputs = [View(images, boxes)] * len(self.students), self.forward_students(images)
        cams = self.compute_cams(views, present, outputs, clock)
        labels = self.make_labels(views, cams, present, self.threshold(clock, tags), clock)
        log_P = [self.log_probabilities(output.logits, images.shape[-2:]) for output in outputs]
        noisy = per_student(lambda p, label: self.noise_filter(p, label.y, clock), log_P, labels)
        return Inspection(cams, labels, noisy, log_P)

    def compute_cams(
        self, views: Sequence[View], present: Present, outputs: Sequence[StudentOutput], clock: Clock
    ) -> list[Maps] | None:
        """Compute the CAMs of every student; None before any loss needs them."""
        if not self.patch_contrast.active(clock) and not self.segmentation.active(clock):
            return None
        with self.autocast("cam"):
            return [
                multi_scale_cam(net, view.images, present, self.cam_scales, output)
                for net, view, output in zip(self.students, views, outputs, strict=True)
            ]

    def make_labels(
        self, views: Sequence[View], cams: list[Maps] | None, present: Present, tau_h: Tensor, clock: Clock
    ) -> list[PseudoLabels] | None:
        """Make the pseudo-labels of every student, in its view; None before L_seg starts."""
        if cams is None or not self.segmentation.active(clock):
            return None
        made: list[PseudoLabels] = []
        for view, which in shared(views):
            maps = [of_one.main for of_one in cams[which]]
            photo = denormalise(view.images)
            made += pseudo_labels(self.refine, photo, maps, present, view.boxes, self.tau_l, tau_h)
        return made

    def strong_forward(
        self, views: Sequence[View], seeds: Sequence[int], labels: list[PseudoLabels] | None, clock: Clock
    ) -> list[Tensor] | None:
        """Compute the logits of every student on phi(X), in the coordinates of X; None before L_reg starts."""
        if labels is None or not self.consistency.active(clock):
            return None
        made: list[Tensor] = []
        for view, which in shared(views):
            strong = self.perturb(denormalise(view.images), seeds, self.students[0].backbone.scaled_side)
            with self.autocast("bf16"):
                logits = self.students.segment(normalise(strong.images), which)
            made += [self.perturb.undo(p.float(), strong.flipped, view.images.shape[-2:]) for p in logits]
        return made

    def contrast(
        self,
        views: Sequence[View],
        outputs: list[StudentOutput],
        cams: list[Maps] | None,
        present: Present,
        tau_h: Tensor,
        clock: Clock,
    ) -> Tensor:
        """Compute L_ptc, the sum over students."""
        terms = []
        for view, which in shared(views):
            maps = None if cams is None else cams[which]
            terms.append(self.patch_contrast(outputs[which], maps, present, view.boxes, self.tau_l, tau_h, clock))
        return sum(terms[1:], start=terms[0])


def pixel_shares(
    views: Sequence[View], labels: list[PseudoLabels] | None, noisy: list[Tensor] | None, tau_h: Tensor
) -> dict[str, Tensor]:
    """Return the mean of tau_h, and shares of the pixels of the photos: supervised, filtered as noise, undecided.

    Args:
        views: The view of each student.
        labels: Pseudo-labels of each student; None leaves the shares out.
        noisy: Pixels that the noise filter discards, bool (B, H, W), of each student.
        tau_h: High threshold of each image, (B,).

    Returns:
        Scalars; the shares lie in [0, 1].
    """
    figures = {"tau_h": tau_h.mean()}
    if labels is None or noisy is None:
        return figures
    size = labels[0].y.shape[1:]
    areas = [inside(v.boxes, size).sum().clamp(min=1) * len(labels[which]) for v, which in shared(views)]
    photo = sum(areas[1:], start=areas[0])
    labelled = torch.stack([(label.y != IGNORE).sum() for label in labels]).sum()
    filtered = torch.stack([noise.sum() for noise in noisy]).sum()
    return figures | {
        "pixels/supervised": (labelled - filtered) / photo,
        "pixels/filtered": filtered / photo,
        "pixels/undecided": 1 - labelled / photo,
    }
