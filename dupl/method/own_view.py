"""[Diff. Aug] Different augmentation: the students see the same view of a batch, or one of their own each (Table 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from dupl.config.kinds import In, Positive, Share
from dupl.method.boxes import inside
from dupl.method.component import Component
from dupl.method.pixels import denormalise, normalise
from dupl.method.view import View, Warp, WarpedView
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE


@COMPONENTS.register_module()
class SameView(Component):
    """Diff. Aug switched off: all students see the images of the loader."""

    null = True

    def __call__(self, images: Tensor, boxes: Tensor, seeds: Sequence[int], students: int) -> list[View]:
        """Return one view, shared by all students."""
        return [View(images, boxes)] * students

    def carry(self, labels: Tensor, teacher: View, pupil: View) -> Tensor:
        """Return the labels: the views of teacher and pupil are the same."""
        return labels


@COMPONENTS.register_module()
class OwnView(Component):
    """Table 6, "Diff. Aug": a flip, a scale, a position in the crop and colours of its own for each student and image.

    It is applied after the weak augmentation of the loader, which the students share. CAMs, refinement, labels and the
    noise filter work on a student's own view; its labels are carried to the view of the student that learns from them.
    L_dis compares the features as they are, patch by patch.

    Differs from the paper: it names no operations. These are those of the weak augmentation, with a smaller range of
    scales, so that two views overlap.

    Args:
        flip: Probability of a horizontal flip.
        scale: Smallest and largest scale. A scaled image that is larger than the crop is cut, a smaller one is padded
            with black, at a random position.
        jitter: Probability of the colour jitter.
        brightness: The factor lies within 1 ± this.
        contrast: The factor lies within 1 ± this.
        saturation: The factor lies within 1 ± this.
        hue: The shift lies within ± this share of the colour circle, at most 0.5.

    Raises:
        ValueError: A value lies outside its range.
    """

    def __init__(
        self,
        flip: Share = 0.5,
        scale: Sequence[Positive] = (0.75, 1.25),
        jitter: Share = 0.8,
        brightness: Share = 0.4,
        contrast: Share = 0.4,
        saturation: Share = 0.2,
        hue: Annotated[float, In("[0, 0.5]")] = 0.1,
    ) -> None:
        super().__init__()
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ValueError(f"own_view.scale is {scale}: give the smallest and the largest, above 0")
        for name, value, most in (
            ("flip", flip, 1),
            ("jitter", jitter, 1),
            ("brightness", brightness, 1),
            ("contrast", contrast, 1),
            ("saturation", saturation, 1),
            ("hue", hue, 0.5),
        ):
            if not 0 <= value <= most:
                raise ValueError(f"own_view.{name} is {value}: it lies in [0, {most}]")
        self.flip, self.scale, self.jitter = flip, (scale[0], scale[1]), jitter
        self.ranges, self.hue = np.array([brightness, contrast, saturation]), hue

    @torch.no_grad()
    def __call__(self, images: Tensor, boxes: Tensor, seeds: Sequence[int], students: int) -> list[View]:
        """Make a view for each student, the same for the same seeds.

        Args:
            images: (B, 3, H, W), normalised.
            boxes: y0, y1, x0, x1 of the photo, int64 (B, 4).
            seeds: One for each image.
            students: Number of students.
        """
        pixels = (denormalise(images) * 255).round().to(torch.uint8)
        views: list[View] = []
        for student in range(students):
            draws = [np.random.default_rng([int(seed), 2, student]) for seed in seeds]
            warp = self.draw(draws, images.shape[-2:], images.device)
            coloured = torch.stack([self.colour(x, rng) for x, rng in zip(pixels, draws, strict=True)])
            seen = warp.images(coloured.to(images.dtype)).round() / 255
            views.append(WarpedView(normalise(seen), warp.boxes(boxes, images.shape[-2:]), warp))
        return views

    def draw(self, draws: Sequence[Generator], size: Sequence[int], device: torch.device) -> Warp:
        """Draw one warp from each generator, for images of a size."""
        gain, shift = [], []
        for rng in draws:
            mirrored, scale = rng.random() < self.flip, rng.uniform(*self.scale)
            place = rng.random(2) * (1 - scale) * np.array(size)  # position of the scaled image in the view
            sign = np.array([1.0, -1.0 if mirrored else 1.0])
            gain.append(sign / scale)
            shift.append(np.where(sign < 0, size, 0) - sign * place / scale)
        made = torch.from_numpy(np.stack([gain, shift])).to(device, non_blocking=True)
        return Warp(made[0], made[1])

    def colour(self, image: Tensor, rng: Generator) -> Tensor:
        """Change brightness, contrast, saturation and hue of a uint8 image (3, H, W), in random order, or nothing."""
        jittered, order = rng.random() < self.jitter, rng.permutation(4)
        factors = [*(1 + rng.uniform(-1, 1, 3) * self.ranges).tolist(), float(rng.uniform(-self.hue, self.hue))]
        if not jittered:
            return image
        steps: tuple[Callable[[Tensor, float], Tensor], ...] = (
            tv.adjust_brightness,
            tv.adjust_contrast,
            tv.adjust_saturation,
            tv.adjust_hue,
        )
        for step in order:
            image = steps[step](image, factors[step])
        return image

    def carry(self, labels: Tensor, teacher: WarpedView, pupil: WarpedView) -> Tensor:
        """Carry labels from the view of the student that made them to the view of the one that learns from them.

        Args:
            labels: In the teacher's view, int64 (B, H, W), 255 = none.
            teacher: The view that the labels belong to.
            pupil: The view that they are carried to.

        Returns:
            Int64 (B, H, W), nearest neighbour; 255 where the teacher's view does not reach and outside the photo.
        """
        carried = teacher.warp.inverse().after(pupil.warp).labels(labels)
        return carried.masked_fill(~inside(pupil.boxes, labels.shape[1:]), IGNORE)
