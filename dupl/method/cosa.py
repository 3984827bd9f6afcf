"""CoSA: the training step on one screen, in the order of its paper, with components of DuPL and ToCo where they are on.

Source: Yang et al., *Weakly Supervised Co-training with Swapping Assignments for Semantic Segmentation*, ECCV 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from dupl.config.kinds import ArgumentsOf, NotNegative, Share, Slot
from dupl.errors import UserError
from dupl.method import equations
from dupl.method.assignment import Assignment, AuxScales, assign
from dupl.method.base import Inspection, Method, complete_weights
from dupl.method.cam import Maps, Present
from dupl.method.cam_queue import Thresholds
from dupl.method.class_contrast import ContrastImages
from dupl.method.network import StudentOutput
from dupl.method.one_stage import pixel_shares
from dupl.method.pixels import denormalise, normalise
from dupl.method.pseudo_labels import PseudoLabels, pseudo_labels
from dupl.method.segmentation import refuse_soft_labels
from dupl.method.shared_slots import AFFINITY, CLASS_CONTRAST, DENSE_ENERGY, NOISE_FILTER, PATCH_CONTRAST
from dupl.method.students import per_student
from dupl.method.view import View
from dupl.registry import COMPONENTS
from dupl.structures import Clock


@dataclass(frozen=True)
class CoSAWeights:
    """Weights of the loss terms; that of L_cls, both classifiers together, is 1.

    Attributes:
        seg: Of the segmentation loss, which the paper of CoSA calls L_c2s.
        s2c: Of the loss of the CAMs.
        energy: Of the dense energy, which the paper of CoSA calls L_reg.
        ptc: Of ToCo's patch token contrast, where it is on.
        ctc: Of ToCo's class token contrast, where it is on.
        aff: Of AFA's affinity loss, where it is on.
    """

    seg: NotNegative = 0.1
    s2c: NotNegative = 0.05
    energy: NotNegative = 0.05
    ptc: NotNegative = 0.2
    ctc: NotNegative = 0.5
    aff: NotNegative = 0.1


@COMPONENTS.register_module()
class CoSA(Method):
    """Co-training with swapped assignments: CAM and segmentation of an average network teach each other's counterpart.

    The first student is the online network, which sees a strong view; the second is its moving average, whose CAMs on
    the weak view label the segmentation, and whose segmentation labels the CAMs.

    Args:
        tau_l: Low threshold on the CAM, in [0, 1]. Released code: 0.25 by default, 0.2 in the published log.
        aux_tau_l: Low threshold on the auxiliary CAM.
        aux_tau_h: High threshold on the auxiliary CAM; that on the CAM is ``threshold``.
        aux_share: Share of the labels of the auxiliary CAM in the segmentation loss.
        aux_scales: Scales of the auxiliary CAM: "all", or the "last" one alone (released code).
        levels: How a normalised image is turned back into 8-bit levels: "round", or "truncate" as the released code
            of ToCo does.
        weights: Weights of the loss terms besides L_cls: seg, s2c, energy, of ToCo's terms ptc, ctc, and of AFA's aff.
        further: Arguments of ``Method``; a component for each of ``SLOTS``.

    Raises:
        UserError: A value lies outside its range, or the components cannot work together.
    """

    learns_from_average = True
    needs_aux = True
    SLOTS = (
        Slot("students", doc="The online network and its moving average, which teaches it."),
        Slot("perturb", null="NoPerturbation", doc="The strong view of the online network; coordinates stay the same."),
        Slot("segmentation", mark="L_seg", starts=True, weight="seg", doc="Segmentation from CAMs, L_c2s."),
        Slot(
            "seg_to_cam",
            mark="L_s2c",
            null="NoSegToCam",
            of_paper=True,
            starts=True,
            weight="s2c",
            doc="CAMs from the segmentation.",
        ),
        DENSE_ENERGY,
        Slot(
            "cam_queue",
            mark="queue",
            null="NoQueue",
            of_paper=True,
            starts=True,
            optional=True,
            doc="Thresholds from the distribution of recent CAMs.",
        ),
        Slot("refine", null="NoRefinement", after=("segmentation",), doc="Refinement of the CAMs before the labels."),
        Slot("threshold", mark="DTA", null="FixedThreshold", optional=True, doc="The high threshold over training."),
        NOISE_FILTER,
        PATCH_CONTRAST,
        CLASS_CONTRAST,
        AFFINITY,
    )

    def __init__(
        self,
        *,
        tau_l: Share = 0.25,
        aux_tau_l: Share = 0.25,
        aux_tau_h: Share = 0.7,
        aux_share: Share = 0.5,
        aux_scales: AuxScales = "all",
        levels: Literal["round", "truncate"] = "round",
        weights: Annotated[dict[str, float] | None, ArgumentsOf(CoSAWeights)] = None,
        **further: Any,
    ) -> None:
        super().__init__(**further)
        refuse_soft_labels(self.segmentation, type(self).__name__)
        shares = dict(tau_l=tau_l, aux_tau_l=aux_tau_l, aux_tau_h=aux_tau_h, aux_share=aux_share)
        if wrong := [name for name, value in shares.items() if not 0 <= value <= 1]:
            raise UserError(f"model.{wrong[0]} is {shares[wrong[0]]}: it must lie in [0, 1]")
        if aux_scales not in ("all", "last"):
            raise UserError(f'model.aux_scales is {aux_scales!r}: choose "all" or "last"')
        if self.perturb.flip or self.perturb.scale != 1:
            raise UserError(
                "CoSA compares views pixel by pixel: set model.perturb.type=OneOperation, or model.perturb.flip=0 and "
                "model.perturb.scale=1"
            )
        if getattr(self.affinity, "spread_from", None) is not None:
            raise UserError("CoSA does not propagate its CAMs: set model.affinity.spread_from=None")
        self.tau_l, self.aux_tau_l, self.aux_tau_h = tau_l, aux_tau_l, aux_tau_h
        self.aux_share, self.aux_scales, self.levels = aux_share, aux_scales, levels
        self.weights = complete_weights(weights, asdict(CoSAWeights()))

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
            images: X, the weak view, (B, 3, H, W), normalised.
            tags: Image-level labels, (B, K) of 0/1.
            present: The classes of ``tags`` in slots.
            boxes: y0, y1, x0, x1 of the photo in each crop, int64 (B, 4).
            seeds: Seeds of the strong views, one for each image.
            clock: t and T.
            contrast: Further views of the images, where the class token contrast is on.

        Returns:
            Scalars: "loss", its terms "L_...", the mean of tau_h and shares of pixels.
        """
        weak, strong = View(images, boxes), View(self.strong_view(images, seeds), boxes)
        with self.autocast("bf16"):
            online = self.students[0](strong.images)  # Sec. 3.1  online network
        assigned = self.assign(images, present, clock)  # Sec. 3.1  assignment network
        fixed = self.fixed_thresholds(clock, tags)
        thresholds = self.cam_queue(assigned and [assigned.maps.main, assigned.maps.aux], fixed, clock)  # Sec. 3.4
        labels = self.make_labels(weak, assigned, present, thresholds, clock)  # Sec. 3.2  CAM -> Seg
        log_P = self.log_probabilities(online.logits, images.shape[-2:])
        noisy = per_student(lambda label: self.noise_filter(log_P, label.y, clock), labels)  # DuPL: ANF
        trusted = per_student(PseudoLabels.trusted, labels, noisy)
        main, aux = (None, None) if trusted is None else ([trusted[0]], [trusted[1]])
        evidence, _ = self.students[0].class_evidence(online.features, online.aux_features)
        maps, (of_cam, of_aux) = None if assigned is None else [assigned.maps], thresholds
        terms = {
            "L_cls": self.classification([online], tags),
            "L_seg": self.segment([log_P], main, aux, clock),  # Sec. 3.2  L_c2s
            "L_s2c": self.seg_to_cam(evidence, assigned, present, clock),  # Sec. 3.3
            "L_energy": self.dense_energy([strong], [log_P], main, clock),  # Sec. 3.2  L_reg
            "L_ptc": self.patch_contrast([online], maps, present, boxes, of_aux.low, of_aux.high, clock),  # ToCo
            "L_ctc": self.contrast_classes(contrast, [online], maps, boxes, seeds, of_aux, clock),  # ToCo
            "L_aff": self.affinity([online], main, clock),  # AFA
        }
        return equations.total(terms, self.weights) | pixel_shares([weak] * 2, maps or [], labels, noisy, of_cam.high)

    def strong_view(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return the strong view of normalised images, (B, 3, H, W), in the same coordinates."""
        return normalise(self.perturb(denormalise(images, self.levels), seeds).images)

    def assign(self, images: Tensor, present: Present, clock: Clock) -> Assignment | None:
        """Compute CAMs and segmentation of the assignment network; None before a loss needs them."""
        readers = (self.segmentation, self.seg_to_cam, self.cam_queue, self.patch_contrast, self.class_contrast)
        if not any(part.active(clock) for part in readers):
            return None
        with self.autocast("cam"):
            return assign(self.students[1], images, present, self.cam_scales, self.aux_scales)

    def fixed_thresholds(self, clock: Clock, tags: Tensor) -> list[Thresholds]:
        """Return the thresholds on CAM and auxiliary CAM that the recipe states."""
        tau_h = self.threshold(clock, tags)
        return [Thresholds(self.tau_l, tau_h), Thresholds(self.aux_tau_l, torch.full_like(tau_h, self.aux_tau_h))]

    def make_labels(
        self, view: View, assigned: Assignment | None, present: Present, thresholds: Sequence[Thresholds], clock: Clock
    ) -> list[PseudoLabels] | None:
        """Make the labels of CAM and auxiliary CAM; None before L_seg starts."""
        if assigned is None or not self.segmentation.active(clock):
            return None
        photo = denormalise(view.images, self.levels)
        return [
            pseudo_labels(self.refine, photo, [maps], present, view.boxes, limits.low, limits.high)[0]
            for maps, limits in zip((assigned.maps.main, assigned.maps.aux), thresholds, strict=True)
        ]

    def segment(self, log_P: list[Tensor], main: list[Tensor] | None, aux: list[Tensor] | None, clock: Clock) -> Tensor:
        """Compute L_c2s from the labels of CAM and auxiliary CAM; 0 before there are any."""
        if main is None or aux is None:
            return log_P[0].new_zeros(())
        of_main, of_aux = self.segmentation(log_P, main, clock), self.segmentation(log_P, aux, clock)
        value: Tensor = (1 - self.aux_share) * of_main + self.aux_share * of_aux
        return value

    def contrast_classes(
        self,
        images: ContrastImages | None,
        outputs: Sequence[StudentOutput],
        maps: Sequence[Maps] | None,
        boxes: Tensor,
        seeds: Sequence[int],
        limits: Thresholds,
        clock: Clock,
    ) -> Tensor | None:
        """Compute L_ctc of the online network, by auxiliary CAMs of the other; None where it is switched off."""
        if maps is None or not self.class_contrast.active(clock):
            return self.class_contrast(None)
        with self.autocast("bf16"):
            pair = (limits.low, limits.high)
            seen = self.class_contrast.see([self.students[0]], outputs, images, maps, boxes, pair, seeds)
        return self.class_contrast(seen)

    @torch.no_grad()
    def inspect(self, images: Tensor, tags: Tensor, present: Present, boxes: Tensor, clock: Clock) -> Inspection:
        """Return what the training step makes of a batch, the same labels beside both networks.

        Args:
            images: (B, 3, H, W), normalised.
            tags: (B, K) of 0/1.
            present: The classes of ``tags`` in slots.
            boxes: y0, y1, x0, x1 of the photo, int64 (B, 4).
            clock: t and T.
        """
        outputs = self.forward_students(images)
        log_P = [self.log_probabilities(output.logits, images.shape[-2:]) for output in outputs]
        assigned = self.assign(images, present, clock)
        thresholds = self.cam_queue.current(self.fixed_thresholds(clock, tags))
        made = self.make_labels(View(images, boxes), assigned, present, thresholds, clock)
        labels = None if made is None else [made[0]] * 2
        noisy = per_student(lambda p, label: self.noise_filter(p, label.y, clock), log_P, labels)
        cams = None if assigned is None else [assigned.maps] * 2
        return Inspection(cams, labels, noisy, log_P)
