"""[L_aff] Affinity between patches, predicted from attention, and the propagation of CAMs along it (AFA).

Source: Ru et al., *Learning Affinity from Attention: End-to-End Weakly-Supervised Semantic Segmentation with
Transformers*, CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from dupl.config.kinds import Count, In, NotNegative, Positive, Start
from dupl.errors import UserError
from dupl.method import random_walk
from dupl.method.attention import Attention
from dupl.method.cam import Maps, Present, Reader
from dupl.method.component import Component
from dupl.method.network import StudentOutput
from dupl.method.propagation import propagated_labels
from dupl.method.pseudo_labels import PseudoLabels
from dupl.method.refine import PixelAdaptiveRefinement
from dupl.method.students import Students
from dupl.registry import COMPONENTS
from dupl.structures import Clock


@COMPONENTS.register_module()
class AffinityFromAttention(Component, nn.Module):
    """Affinity of two patches by a weighted sum of the attention of the last two blocks, both ways, before softmax.

    Its loss compares patches of equal and of unequal labels. From ``spread_from`` on CAMs walk along it before they
    become labels.

    Args:
        start: First iteration of the loss. Released code: 2001 on VOC, 5001 on COCO.
        spread_from: First iteration whose labels come from propagated CAMs; None: they never do. Released code: 6001
            on VOC, 15001 on COCO.
        radius: Pairs further apart, in rows or columns of patches, do not count.
        targets: Labels of the loss: those of the "cams" themselves (released code, VOC), or those of "spread" CAMs,
            from ``spread_from`` on (released code, COCO); both after the noise filter.
        patch_pixel: Pixel whose label a patch has: its "first" one (released code), or its "centre".
        extra_pairs: Added to the numbers of equal and of unequal pairs. Released code: 1.
        power: Exponent of the affinities in the walk.
        smoothing: Added to the sum of the affinities of a patch, by which they are divided.
        steps: Steps of the walk.
        refine_in: Where propagated CAMs are refined: in the "photo", cut out of the padding (released code), or in the
            whole "crop", as other labels.

    Raises:
        UserError: A value lies outside its range.
    """

    def __init__(
        self,
        start: Start = 0,
        spread_from: Start | None = 0,
        radius: Count = 8,
        targets: Literal["cams", "spread"] = "cams",
        patch_pixel: Literal["first", "centre"] = "centre",
        extra_pairs: NotNegative = 0.0,
        power: Positive = 2.0,
        smoothing: Annotated[float, In("(0, inf)")] = 0.1,
        steps: Count = 1,
        refine_in: Literal["photo", "crop"] = "crop",
    ) -> None:
        nn.Module.__init__(self)
        Component.__init__(self, start)
        choices = {"targets": ("cams", "spread"), "patch_pixel": ("first", "centre"), "refine_in": ("photo", "crop")}
        given = {"targets": targets, "patch_pixel": patch_pixel, "refine_in": refine_in}
        for name, allowed in choices.items():
            if given[name] not in allowed:
                options = " or ".join(f'"{value}"' for value in allowed)
                raise UserError(f"model.affinity.{name} is {given[name]!r}: choose {options}")
        least = {"radius": radius, "steps": steps}
        if wrong := [name for name, value in least.items() if value < 1]:
            raise UserError(f"model.affinity.{wrong[0]} is {least[wrong[0]]}: it must be at least 1")
        if power <= 0 or smoothing <= 0:
            raise UserError(f"model.affinity: power={power}, smoothing={smoothing}: both must be positive")
        if targets == "spread" and spread_from is None:
            raise UserError('model.affinity.targets is "spread", and spread_from is None: give an iteration')
        self.spread_from, self.radius, self.targets, self.centres = (
            spread_from,
            radius,
            targets,
            patch_pixel == "centre",
        )
        self.extra, self.power, self.smoothing, self.steps = extra_pairs, power, smoothing, steps
        self.refine_in: Literal["photo", "crop"] = refine_in

    def bind(self, students: Students) -> None:
        """Ask the backbones for their attention, and make a weight for each head."""
        for net in students:
            net.backbone.tap()
        self.heads = nn.ModuleList(_head(net.backbone.heads) for net in students)

    def spreads(self, clock: Clock) -> bool:
        """Return whether CAMs walk before they become labels."""
        return self.spread_from is not None and clock.t >= self.spread_from

    def affinity(self, student: int, attention: Attention) -> Tensor:
        """Predict the affinities of the patches of B images, (B, N, N) in (0, 1), in float32."""
        head: Any = self.heads[student]
        with torch.autocast(attention.queries.device.type, enabled=False):
            full = Attention(attention.queries.float(), attention.keys.float())
            return (full.combined(head.weight[0]) + head.bias).sigmoid()

    def reader(self, student: int, clock: Clock) -> Reader | None:
        """Return what predicts the affinities of a student at the largest scale; None where CAMs do not walk."""
        return (lambda attention: self.affinity(student, attention)) if self.spreads(clock) else None

    def forward(self, outputs: Sequence[StudentOutput], labels: Sequence[Tensor] | None, clock: Clock) -> Tensor:
        """Compute L_aff, a scalar: the sum over students; 0 before it starts.

        Args:
            outputs: What each student gave for the batch.
            labels: Of each student, int64 (B, H, W), 255 = none; None before training makes them.
            clock: t and T.
        """
        value = outputs[0].scores.new_zeros((), dtype=torch.float32)
        if labels is None or not self.active(clock):
            return value
        for student, (output, y) in enumerate(zip(outputs, labels, strict=True)):
            assert output.attention is not None
            height, width = output.features.shape[-2:]
            near = random_walk.window(height, width, self.radius, y.device)
            of_patches = random_walk.patch_labels(y, (height, width), self.centres)
            S = self.affinity(student, output.attention)
            value = value + random_walk.affinity_loss(S, of_patches, near, self.extra)
        return value

    @torch.no_grad()
    def spread(
        self,
        refine: PixelAdaptiveRefinement,
        images: Tensor,
        cams: Maps,
        present: Present,
        boxes: Tensor,
        tau: tuple[float, Tensor],
    ) -> PseudoLabels:
        """Make the labels of one student from propagated CAMs.

        Args:
            refine: The refinement that follows.
            images: (B, 3, H, W) in [0, 1].
            cams: CAMs, with their affinity.
            present: The classes of the slots.
            boxes: y0, y1, x0, x1 of the photo in each crop, int64 (B, 4).
            tau: Low threshold, and the high one of each image, (B,).
        """
        assert cams.affinity is not None
        height, width = cams.affinity.grid
        near = random_walk.window(height, width, self.radius, images.device)
        T = random_walk.transition(cams.affinity.S, near, self.power, self.smoothing)

        def walk(maps: Tensor) -> Tensor:
            return random_walk.walk(maps, T, self.steps)

        maps = cams.main.masked_fill(~present.valid[..., None, None], 0)
        return propagated_labels(
            refine, images, maps, (height, width), walk, present, boxes, tau, photo_only=self.refine_in == "photo"
        )


def _head(maps: int) -> nn.Linear:
    """Make a linear layer from attention maps to one affinity, as the released code draws it."""
    head = nn.Linear(maps, 1)
    nn.init.normal_(head.weight, std=3**-0.5)  # Kaiming's, of one output, with a slope of sqrt(5)
    return head


@COMPONENTS.register_module()
class NoAffinity(Component):
    """Affinity switched off: there is no such term, and CAMs are not propagated."""

    null = True
    targets = "cams"

    def spreads(self, clock: Clock) -> bool:
        """Return False."""
        return False

    def reader(self, student: int, clock: Clock) -> None:
        """Return None: nothing is read."""

    def __call__(self, *_: object) -> None:
        """Return None: there is no term."""
