"""What one-stage methods share: CAMs and pseudo-labels that the students make of their own batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from dupl.config.kinds import Share, Start
from dupl.errors import UserError
from dupl.method.affinity import NoAffinity
from dupl.method.averages import OwnCams, Source
from dupl.method.base import Inspection, Method
from dupl.method.boxes import inside
from dupl.method.cam import Maps, Present, multi_scale_cam
from dupl.method.class_contrast import ContrastImages
from dupl.method.network import StudentOutput
from dupl.method.pixels import denormalise, normalise
from dupl.method.pseudo_labels import PseudoLabels, pseudo_labels
from dupl.method.students import per_student
from dupl.method.view import View, shared
from dupl.structures import IGNORE, Clock


class OneStage(Method):
    """A method whose students learn to segment from pseudo-labels that they make of their own CAMs.

    Its training step is written by a subclass, which has slots for students, threshold, noise_filter, consistency,
    segmentation, patch_contrast, class_contrast, refine, perturb and discrepancy, whatever else it has.

    Args:
        tau_l: Low threshold of the pseudo-labels, in [0, 1].
        levels: How refinement and strong view turn a normalised image back into 8-bit levels: "round", or "truncate" as
            in the released code.
        aux_labels_until: First iteration whose pseudo-labels come from the CAM of the classifier; before it they come
            from that of the auxiliary classifier. Released code, COCO: 12001.
        further: Arguments of ``Method``; a component for each of ``SLOTS``.

    Raises:
        UserError: ``tau_l`` or ``levels`` lies outside its range, or the components cannot work together.
    """

    USED_WITH = MappingProxyType(
        {
            "tau_l": ("patch_contrast", "class_contrast", "segmentation"),
            "levels": ("segmentation",),
            "aux_labels_until": ("segmentation",),
        }
    )

    def __init__(
        self,
        *,
        tau_l: Share = 0.25,
        levels: Literal["round", "truncate"] = "round",
        aux_labels_until: Start = 0,
        **further: Any,
    ) -> None:
        super().__init__(**further)
        if not 0 <= tau_l <= 1:
            raise UserError(f"model.tau_l is {tau_l}: a threshold on a CAM lies in [0, 1]")
        if levels not in ("round", "truncate"):
            raise UserError(f'model.levels is {levels!r}: choose "round" or "truncate"')
        self.tau_l, self.levels, self.aux_labels_until = tau_l, levels, aux_labels_until
        if len(self.students) < 2 and not self.discrepancy.null:
            raise UserError(
                "L_dis without DS: a discrepancy needs two students; set model.discrepancy.type=NoDiscrepancy"
            )
        if not self.consistency.null and getattr(self.perturb, "null", False):
            raise UserError(
                "L_reg without a strong augmentation: set model.perturb.type=StrongPerturbation, or "
                "model.consistency.type=NoConsistency"
            )

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
        tau_h = self.threshold(clock, tags)
        labels = self.make_labels(views, cams, present, tau_h, clock)
        labels = self.spread_labels(views, cams, labels, present, tau_h, clock)
        log_P = [self.log_probabilities(output.logits, images.shape[-2:]) for output in outputs]
        noisy = per_student(lambda p, label: self.noise_filter(p, label.y, clock), log_P, labels)
        return Inspection(cams, labels, noisy, log_P)

    def compute_cams(
        self, views: Sequence[View], present: Present, outputs: Sequence[StudentOutput], clock: Clock
    ) -> list[Maps] | None:
        """Compute the CAMs of every student; None before any loss needs them."""
        affinity = getattr(self, "affinity", NoAffinity())  # a method without the slot has none
        sources = self.cam_sources(outputs, clock)  # averages count the iterations in which no CAM is made too
        readers = (self.patch_contrast, self.class_contrast, self.segmentation)
        if not any(part.active(clock) for part in readers):
            return None
        with self.autocast("cam"):
            return [
                multi_scale_cam(net, view.images, present, self.cam_scales, output, affinity.reader(student, clock))
                for student, ((net, output), view) in enumerate(zip(sources, views, strict=True))
            ]

    def cam_sources(self, outputs: Sequence[StudentOutput], clock: Clock) -> Sequence[Source]:
        """Return the network that makes the CAMs of each student, with what it gave for the batch if that is known."""
        averages = getattr(self, "averages", OwnCams())  # a method without the slot has none
        sources: list[Source] = averages(self.students, outputs, clock)
        return sources

    def choose_cams(self, cams: list[Maps], present: Present, clock: Clock) -> list[Maps]:
        """Return the CAMs that the labels of each student are made of: its own."""
        return cams

    def label_cams(self, cams: list[Maps], present: Present, clock: Clock) -> list[Maps]:
        """Return the chosen CAMs; before ``aux_labels_until`` their ``main`` is that of the auxiliary classifier."""
        chosen = self.choose_cams(cams, present, clock)
        return [replace(maps, main=maps.aux) for maps in chosen] if clock.t < self.aux_labels_until else chosen

    def make_labels(
        self, views: Sequence[View], cams: list[Maps] | None, present: Present, tau_h: Tensor, clock: Clock
    ) -> list[PseudoLabels] | None:
        """Make the pseudo-labels of every student, in its view; None before L_seg starts."""
        if cams is None or not self.segmentation.active(clock):
            return None
        made: list[PseudoLabels] = []
        cams = self.label_cams(cams, present, clock)
        for view, which in shared(views):
            maps = [of_one.main for of_one in cams[which]]
            photo = denormalise(view.images, self.levels)
            made += pseudo_labels(self.refine, photo, maps, present, view.boxes, self.tau_l, tau_h)
        return made

    def spread_labels(
        self,
        views: Sequence[View],
        cams: list[Maps] | None,
        labels: list[PseudoLabels] | None,
        present: Present,
        tau_h: Tensor,
        clock: Clock,
    ) -> list[PseudoLabels] | None:
        """Make the pseudo-labels of every student from CAMs that walk along its affinities; else return ``labels``."""
        affinity: Any = getattr(self, "affinity", NoAffinity())
        if cams is None or labels is None or not affinity.spreads(clock):
            return labels
        made: list[PseudoLabels] = []
        cams = self.label_cams(cams, present, clock)
        for view, which in shared(views):
            photo = denormalise(view.images, self.levels)
            thresholds = (self.tau_l, tau_h)
            made += [affinity.spread(self.refine, photo, maps, present, view.boxes, thresholds) for maps in cams[which]]
        return made

    def affinity_labels(
        self,
        refined: list[PseudoLabels] | None,
        noisy: list[Tensor] | None,
        trusted: list[Tensor] | None,
        clock: Clock,
    ) -> list[Tensor] | None:
        """Return the labels that L_aff compares, int64 (B, H, W), 255 = none or noise; None before there are any.

        Args:
            refined: Labels of each student from CAMs that do not walk.
            noisy: Pixels that the noise filter discards, bool (B, H, W).
            trusted: Labels that teach the segmentation, without noise; those of walked CAMs where CAMs walk.
            clock: t and T.
        """
        if self.affinity.targets == "spread" or not self.affinity.spreads(clock):
            return trusted
        return per_student(PseudoLabels.trusted, refined, noisy)

    def strong_forward(
        self, views: Sequence[View], seeds: Sequence[int], labels: list[PseudoLabels] | None, clock: Clock
    ) -> list[Tensor] | None:
        """Compute the logits of every student on phi(X), in the coordinates of X; None before L_reg starts."""
        if labels is None or not self.consistency.active(clock):
            return None
        made: list[Tensor] = []
        for view, which in shared(views):
            photo = denormalise(view.images, self.levels)
            strong = self.perturb(photo, seeds, self.students[0].backbone.scaled_side)
            with self.autocast("bf16"):
                logits = self.students.segment(normalise(strong.images), which)
            made += [self.perturb.undo(p.float(), strong.flipped, view.images.shape[-2:]) for p in logits]
        return made

    def contrast_patches(
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

    def contrast_classes(
        self,
        images: ContrastImages | None,
        outputs: Sequence[StudentOutput],
        cams: Sequence[Maps] | None,
        boxes: Tensor,
        seeds: Sequence[int],
        tau_h: Tensor,
        clock: Clock,
    ) -> Tensor | None:
        """Compute L_ctc, the sum over students; None where it is switched off."""
        if cams is None or not self.class_contrast.active(clock):
            return self.class_contrast(None)
        with self.autocast("bf16"):
            thresholds = (self.tau_l, tau_h)
            seen = self.class_contrast.see(self.students, outputs, images, cams, boxes, thresholds, seeds)
        return self.class_contrast(seen)


def pixel_shares(
    views: Sequence[View],
    cams: list[Maps] | None,
    labels: list[PseudoLabels] | None,
    noisy: list[Tensor] | None,
    tau_h: Tensor,
) -> dict[str, Tensor]:
    """Return the mean of tau_h, and shares of the pixels of the photos: supervised, filtered as noise, undecided.

    Args:
        views: The view of each student.
        cams: CAMs of each student; None leaves tau_h out, which nothing uses then.
        labels: Pseudo-labels of each student; None leaves the shares out.
        noisy: Pixels that the noise filter discards, bool (B, H, W), of each student.
        tau_h: High threshold of each image, (B,).

    Returns:
        Scalars; the shares lie in [0, 1].
    """
    figures = {} if cams is None else {"tau_h": tau_h.mean()}
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
