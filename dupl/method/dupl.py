"""DuPL: the training step on one screen, and the inference step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor

from dupl.config.kinds import GIVEN, ArgumentsOf, NotNegative, Positive, Share, Slot
from dupl.errors import UserError
from dupl.method import equations
from dupl.method.cam import Maps, Present, multi_scale_cam
from dupl.method.consistency import Evidence
from dupl.method.own_view import Sight, shared
from dupl.method.pixels import denormalise, normalise
from dupl.method.refine import PseudoLabels, inside, pseudo_labels
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock, View


@dataclass(frozen=True)
class Weights:
    """Weights of the loss terms beside L_cls, Eq. 9.

    Attributes:
        ptc: Of the patch contrast.
        dis: Of the discrepancy loss, lambda_1.
        seg: Of the segmentation loss, lambda_2.
        reg: Of the consistency loss, lambda_3.
    """

    ptc: NotNegative = 0.2
    dis: NotNegative = 0.1
    seg: NotNegative = 0.2
    reg: NotNegative = 0.05


@COMPONENTS.register_module()
class DuPL(BaseModel):
    """Dual student with trustworthy progressive learning.

    Args:
        num_classes: Classes with background, K + 1.
        network: One sub-net: arguments of ``SubNet``.
        students: [DS] ``DualStudent`` or ``SingleStudent``.
        discrepancy: [L_dis] ``LogCosineDiscrepancy``, ``OnePlusCosine`` or ``NoDiscrepancy``.
        threshold: [DTA] ``CosineDescent``, ``PerClassCosineDescent`` or ``FixedThreshold``.
        noise_filter: [ANF] ``MixtureFilter`` or ``TrustAll``.
        consistency: [L_reg] ``FilteredConsistency``, ``ConfidentConsistency`` or ``NoConsistency``.
        segmentation: [L_seg] ``CrossEntropy`` or ``BalancedCrossEntropy``; its start is that of pseudo-labels.
        patch_contrast: ``PatchTokenContrast`` or ``NoPatchContrast``.
        refine: ``PixelAdaptiveRefinement`` or ``NoRefinement``.
        perturb: The strong augmentation.
        own_view: [Diff. Aug] ``SameView`` or ``OwnView``; the former where None.
        tau_l: Low threshold of the pseudo-labels, in [0, 1].
        cam_scales: Scales of the CAMs.
        weights: Of the loss terms beside L_cls: ptc, dis, seg, reg.
        amp: "off", "cam" (bfloat16 in the passes without gradients) or "bf16" (everywhere but in the losses).

    Raises:
        UserError: A combination of components that means nothing.
    """

    learns_from_masks = False  # training reads image-level tags only

    def __init__(
        self,
        num_classes: Annotated[int, GIVEN],
        network: Annotated[dict[str, Any], Slot("network", default="SubNet")],
        students: Annotated[dict[str, Any], Slot("students")],
        discrepancy: Annotated[dict[str, Any], Slot("discrepancy")],
        threshold: Annotated[dict[str, Any], Slot("threshold")],
        noise_filter: Annotated[dict[str, Any], Slot("noise_filter")],
        consistency: Annotated[dict[str, Any], Slot("consistency")],
        segmentation: Annotated[dict[str, Any], Slot("segmentation")],
        patch_contrast: Annotated[dict[str, Any], Slot("patch_contrast")],
        refine: Annotated[dict[str, Any], Slot("refine")],
        perturb: Annotated[dict[str, Any], Slot("perturb")],
        own_view: Annotated[dict[str, Any] | None, Slot("own_view")] = None,
        tau_l: Share = 0.25,
        cam_scales: Sequence[Positive] = (1.0, 0.5, 1.5),
        weights: Annotated[dict[str, float] | None, ArgumentsOf(Weights)] = None,
        amp: Annotated[str, GIVEN] = "off",
    ) -> None:
        super().__init__(data_preprocessor=ToDevice())
        build = COMPONENTS.build
        self.students = build({**students, "network": network, "num_classes": num_classes})
        self.discrepancy, self.threshold = build(dict(discrepancy)), build(dict(threshold))
        self.noise_filter, self.consistency = build(dict(noise_filter)), build(dict(consistency))
        self.segmentation, self.patch_contrast = build(dict(segmentation)), build(dict(patch_contrast))
        self.refine, self.perturb = build(dict(refine)), build(dict(perturb))
        self.own_view = build(dict(own_view or {"type": "SameView"}))
        self.tau_l, self.cam_scales, self.amp = tau_l, tuple(cam_scales), amp
        self.weights = {**asdict(Weights()), **(weights or {})}
        if len(self.students) < 2 and not self.discrepancy.null:
            raise UserError(
                "L_dis without DS: a discrepancy needs two students; set model.discrepancy.type=NoDiscrepancy"
            )
        if len(self.students) < 2 and not self.own_view.null:
            raise UserError("Diff. Aug without DS: own views need two students; set model.own_view.type=SameView")
        if not 0 <= tau_l <= 1:
            raise UserError(f"model.tau_l is {tau_l}: a threshold on a CAM lies in [0, 1]")
        known = asdict(Weights())
        if unknown := sorted(self.weights.keys() - known.keys()):
            raise UserError(f"model.weights has no term {unknown[0]!r}: choose from {', '.join(known)}")
        self.guard = FiniteGuard()
        if amp not in ("off", "cam", "bf16"):
            raise UserError(f'model.amp is {amp!r}: choose "off", "cam" or "bf16"')

    def forward(self, mode: str = "loss", **batch: Any) -> Any:
        """mmengine's entry: ``loss`` for "loss", ``predict`` for "predict"."""
        return self.loss(**batch) if mode == "loss" else self.predict(**batch)

    def loss(
        self,
        images: Tensor,
        tags: Tensor,
        present: Present,
        boxes: Tensor,
        seeds: Sequence[int],
        clock: Clock,
    ) -> dict[str, Tensor]:
        """The training step.

        Args:
            images: X, (B, 3, H, W), normalised.
            tags: Image-level labels, (B, K) of 0/1.
            present: The same as slots.
            boxes: y0, y1, x0, x1 of the photo in each crop, int64 (B, 4).
            seeds: Of each image's strong augmentation.
            clock: t and T.

        Returns:
            Scalars: "loss" (Eq. 9), its terms and what became of the pixels.
        """
        sights = self.own_view(images, boxes, seeds, len(self.students))  # Table 6   Diff. Aug
        views = self.forward_students([s.images for s in sights])  # Sec. 3.2  psi_i
        tau_h = self.threshold(clock, tags)  # Eq. 5     DTA
        cams = self.activate(sights, present, views, clock)  # Eq. 1
        labels = self.label(sights, cams, present, tau_h, clock)  # Sec. 3.1  Y_i
        P = [self.to_pixels(v.logits, images) for v, _ in zip(views, labels, strict=False)]
        noisy = [self.noise_filter(p, y.y, clock) for p, y in zip(P, labels, strict=True)]  # Eq. 6-7  ANF
        trusted = [y.y.masked_fill(n, IGNORE) for y, n in zip(labels, noisy, strict=True)]
        lessons = self.students.exchange(trusted)  # Sec. 3.2  who teaches whom
        lessons = self.own_view.carry(lessons, self.students.exchange(sights), sights)
        strong = self.look_again(sights, seeds, labels, clock)  # Sec. 3.3  P~_i
        evidence = [
            Evidence(p, q, y.hard, own, lesson)
            for p, q, y, own, lesson in zip(P, strong, labels, trusted, lessons, strict=False)
        ]
        terms = {
            "L_cls": self.classification(views, tags),
            "L_ptc": self.contrast(sights, views, cams, present, tau_h, clock),
            "L_dis": self.discrepancy(views, clock),  # Eq. 2-3
            "L_seg": self.segmentation(P, lessons),  # Eq. 4
            "L_reg": self.consistency(evidence),  # Eq. 8
        }
        return equations.total(terms, self.weights) | pixel_shares(sights, labels, noisy, tau_h)  # Eq. 9

    @torch.no_grad()
    def predict(
        self, images: Tensor, present: Present | None = None, cams: bool = True
    ) -> list[tuple[Tensor, Tensor, Maps | None]]:
        """Class scores (B, K), logits (B, K + 1, h, w) and the CAMs of the classes present, per student.

        Args:
            images: (B, 3, H, W), normalised.
            present: Classes to map; None maps those with a positive score, in slots of ``Present.of(scores > 0)``.
            cams: Whether to make CAMs at all.
        """
        views = self.forward_students(images)
        answer = []
        for net, view in zip(self.students, views, strict=True):
            classes = present if present is not None else Present.of((view.scores > 0).float())
            with self.precision("cam"):
                maps = multi_scale_cam(net, images, classes, self.cam_scales, view) if cams else None
            answer.append((view.scores.float(), view.logits.float(), maps))
        return answer

    @torch.no_grad()
    def inspect(
        self, images: Tensor, tags: Tensor, present: Present, boxes: Tensor, clock: Clock
    ) -> tuple[list[Maps], list[PseudoLabels], list[Tensor], list[Tensor]]:
        """What the training step sees, for pictures: CAMs, pseudo-labels, noisy pixels, log-probabilities per student.

        Args:
            images: (B, 3, H, W), normalised.
            tags: (B, K) of 0/1.
            present: The same as slots.
            boxes: y0, y1, x0, x1 of the photo, int64 (B, 4).
            clock: t and T.
        """
        sights, views = [Sight(images, boxes)] * len(self.students), self.forward_students(images)
        cams = self.activate(sights, present, views, clock)
        labels = self.label(sights, cams, present, self.threshold(clock, tags), clock)
        P = [self.to_pixels(v.logits, images) for v in views]
        noisy = [self.noise_filter(p, y.y, clock) for p, y in zip(P, labels, strict=False)]
        return cams, labels, noisy, P

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """mmengine's split into what to minimise and what to log; nothing is averaged over processes here.

        Raises:
            FloatingPointError: A term is not finite; on a GPU it is told one step later, so that no step waits.
        """
        self.guard({name: value for name, value in losses.items() if name.startswith("L_")})
        return losses["loss"], {name: value.detach() for name, value in losses.items()}

    def forward_students(self, images: Tensor | Sequence[Tensor]) -> list[View]:
        """psi_i(X), in the training precision, of images that all see or of each student's own."""
        with self.precision("bf16"):
            views: list[View] = self.students(images)
        return views

    def activate(self, sights: list[Sight], present: Present, views: list[View], clock: Clock) -> list[Maps]:
        """CAMs of every student; none as long as no loss asks for them."""
        if not self.patch_contrast.active(clock) and not self.segmentation.active(clock):
            return []
        with self.precision("cam"):
            return [
                multi_scale_cam(net, sight.images, present, self.cam_scales, view)
                for net, sight, view in zip(self.students, sights, views, strict=True)
            ]

    def label(
        self, sights: list[Sight], cams: list[Maps], present: Present, tau_h: Tensor, clock: Clock
    ) -> list[PseudoLabels]:
        """Pseudo-labels of every student, in its sight; none before L_seg starts."""
        made: list[PseudoLabels] = []
        for sight, who in shared(sights) if self.segmentation.active(clock) else ():
            photo, maps = denormalise(sight.images), [m.main for m in cams[who]]
            made += pseudo_labels(self.refine, photo, maps, present, sight.boxes, self.tau_l, tau_h)
        return made

    def to_pixels(self, logits: Tensor, images: Tensor) -> Tensor:
        """Log-probabilities (B, K + 1, H, W) of patch logits at the images' resolution."""
        logits = logits.float().contiguous()  # convolutions leave channels last, which makes what follows slower
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False).log_softmax(1)

    def look_again(
        self, sights: list[Sight], seeds: Sequence[int], labels: list[PseudoLabels], clock: Clock
    ) -> list[Tensor]:
        """Every student's logits on phi(X), back in the coordinates of X; none before L_reg starts."""
        made: list[Tensor] = []
        for sight, who in shared(sights) if labels and self.consistency.active(clock) else ():
            strong = self.perturb(denormalise(sight.images), seeds, self.students[0].backbone.fit)
            with self.precision("bf16"):
                logits = self.students.segment(normalise(strong.images), who)
            made += [self.perturb.undo(p.float(), strong.flipped, sight.images.shape[-2:]) for p in logits]
        return made

    def contrast(
        self,
        sights: list[Sight],
        views: list[View],
        cams: list[Maps],
        present: Present,
        tau_h: Tensor,
        clock: Clock,
    ) -> Tensor:
        """L_ptc of every student."""
        terms = [
            self.patch_contrast(views[who], cams[who], present, sight.boxes, self.tau_l, tau_h, clock)
            for sight, who in shared(sights)
        ]
        return sum(terms[1:], start=terms[0])

    @staticmethod
    def classification(views: list[View], tags: Tensor) -> Tensor:
        """L_cls of Eq. 9: multi-label soft margin, both classifiers of every student (released code)."""
        scores = [s.float() for view in views for s in (view.scores, view.aux_scores)]
        return torch.stack([F.multilabel_soft_margin_loss(s, tags) for s in scores]).sum()

    def precision(self, least: str) -> torch.autocast:
        """bfloat16 autocast for passes of the kind ``least``: "cam" (no gradients) or "bf16" (all)."""
        device = next(self.parameters()).device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.amp == "bf16" or self.amp == least)


class ToDevice(BaseDataPreprocessor):
    """Makes the model's batch from a loader's: stacked images on the device, tags also as slots, seeds on the CPU."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """From image (B, 3, H, W), tags (B, K), box (B, 4), seed (B,), and the training loop's clock."""
        to = {"device": self.device, "non_blocking": True}
        return {
            "images": data["image"].to(**to),
            "tags": data["tags"].to(**to),
            "present": Present.of(data["tags"]).to(self.device),
            "boxes": data["box"].to(**to),
            "seeds": data["seed"].tolist(),
            "clock": data["clock"],
        }


class FiniteGuard:
    """Stops training at the first loss term that is not finite, and names it.

    On a GPU the values travel to the CPU while the device works on, and are read one step later.
    """

    def __init__(self) -> None:
        self.pending: tuple[list[str], Tensor, torch.cuda.Event] | None = None

    def __call__(self, terms: dict[str, Tensor]) -> None:
        """Check scalars by name.

        Raises:
            FloatingPointError: Naming the terms that are nan or inf.
        """
        names = list(terms)
        device = next((v.device for v in terms.values() if v.device.type == "cuda"), torch.device("cpu"))
        values = torch.stack([v.detach().float().to(device, non_blocking=True) for v in terms.values()])
        if device.type == "cpu":
            return self._check(names, values)
        self.settle()
        host = torch.empty(len(names), pin_memory=True)
        host.copy_(values, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self.pending = (names, host, event)

    def settle(self) -> None:
        """Check what is still on its way; for who keeps or judges the weights now.

        Raises:
            FloatingPointError: As above.
        """
        if self.pending is not None:
            names, host, done = self.pending
            self.pending = None
            done.synchronize()
            self._check(names, host)

    @staticmethod
    def _check(names: list[str], values: Tensor) -> None:
        bad = [
            f"{name} is {value:g}" for name, value in zip(names, values.tolist(), strict=True) if not isfinite(value)
        ]
        if bad:
            raise FloatingPointError(", ".join(bad))


def pixel_shares(
    sights: list[Sight], labels: list[PseudoLabels], noisy: list[Tensor], tau_h: Tensor
) -> dict[str, Tensor]:
    """Shares in [0, 1] of the photos' pixels that supervise, are filtered, or are undecided; and mean tau_h."""
    shares = {"tau_h": tau_h.mean()}
    if labels:
        size = labels[0].y.shape[1:]
        areas = [inside(s.boxes, size).sum().clamp(min=1) * len(labels[who]) for s, who in shared(sights)]
        photo = sum(areas[1:], start=areas[0])
        labelled = torch.stack([(y.y != IGNORE).sum() for y in labels]).sum()
        filtered = torch.stack([n.sum() for n in noisy]).sum()
        shares["pixels/supervised"] = (labelled - filtered) / photo
        shares["pixels/filtered"] = filtered / photo
        shares["pixels/undecided"] = 1 - labelled / photo
    return shares
