"""[Diff. Aug] What each student sees of a batch: the same images, or a view of its own (Table 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from dupl.config.kinds import In, Positive, Share
from dupl.method.base import Component
from dupl.method.pixels import denormalise, normalise
from dupl.method.refine import inside
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE


@dataclass(frozen=True)
class Warp:
    """Where the pixels of B views come from: position p of a view shows position ``gain`` p + ``shift`` of the source.

    Positions are real numbers in pixels, row then column; the centre of pixel i lies at i + 1/2.

    Attributes:
        gain: Source pixels per pixel of the view, negative where the view is mirrored, float64 (B, 2).
        shift: Position of the source at the view's origin, float64 (B, 2).
    """

    gain: Tensor
    shift: Tensor

    def after(self, first: Warp) -> Warp:
        """``first``'s view of this one's view: p -> self(first(p))."""
        return Warp(self.gain * first.gain, self.gain * first.shift + self.shift)

    def inverse(self) -> Warp:
        """From positions of the source to those of the view."""
        return Warp(1 / self.gain, -self.shift / self.gain)

    def sources(self, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Source positions of the centres of a view's rows (B, H) and columns (B, W)."""
        rows, columns = (torch.arange(side, device=self.gain.device) + 0.5 for side in size)
        at = [self.gain[:, axis, None] * p + self.shift[:, axis, None] for axis, p in enumerate((rows, columns))]
        return at[0], at[1]

    def images(self, images: Tensor) -> Tensor:
        """Views of images (B, C, H, W), bilinear; 0 beyond them."""
        size = images.shape[-2:]
        y, x = (2 * at / side - 1 for at, side in zip(self.sources(size), size, strict=True))
        grid = torch.stack([x[:, None].expand(-1, size[0], -1), y[..., None].expand(-1, -1, size[1])], -1)
        return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", align_corners=False)

    def labels(self, labels: Tensor) -> Tensor:
        """Views of labels (B, H, W), nearest neighbour; 255 beyond them."""
        (height, width), (y, x) = labels.shape[-2:], (at.floor().long() for at in self.sources(labels.shape[-2:]))
        row = y.clamp(0, height - 1)[..., None].expand(-1, -1, width)
        column = x.clamp(0, width - 1)[:, None].expand(-1, height, -1)
        beyond = ((y < 0) | (y >= height))[..., None] | ((x < 0) | (x >= width))[:, None]
        return labels.gather(1, row).gather(2, column).masked_fill(beyond, IGNORE)

    def boxes(self, boxes: Tensor, size: Sequence[int]) -> Tensor:
        """Where views of this size show the pixels of boxes y0, y1, x0, x1, int64 (B, 4); empty at 0 where nowhere."""
        ends = []
        for axis, at in enumerate(self.sources(size)):
            low, high = boxes[:, 2 * axis, None], boxes[:, 2 * axis + 1, None]
            shown = (at >= low) & (at < high)
            first = shown.to(torch.uint8).argmax(1)
            ends += [first, first + shown.sum(1)]
        return torch.stack(ends, 1)


@dataclass(frozen=True)
class Sight:
    """What a student sees.

    Attributes:
        images: (B, 3, H, W), normalised.
        boxes: y0, y1, x0, x1 of the photo in each image, int64 (B, 4).
    """

    images: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class OwnSight(Sight):
    """A sight that no other student shares.

    Attributes:
        warp: From the loader's images to these.
    """

    warp: Warp


def shared(sights: Sequence[Sight]) -> Iterator[tuple[Sight, slice]]:
    """Each different sight, with the students that share it, so that what depends on images alone is done once."""
    for _, group in groupby(range(len(sights)), key=lambda student: id(sights[student])):
        students = list(group)
        yield sights[students[0]], slice(students[0], students[-1] + 1)


@COMPONENTS.register_module()
class SameView(Component):
    """Diff. Aug switched off: all students see the loader's images."""

    null = True

    def __call__(self, images: Tensor, boxes: Tensor, seeds: Sequence[int], students: int) -> list[Sight]:
        """One sight, shared by all."""
        return [Sight(images, boxes)] * students

    def carry(self, labels: list[Tensor], teachers: Sequence[Sight], pupils: Sequence[Sight]) -> list[Tensor]:
        """The labels: they are where they belong."""
        return labels


@COMPONENTS.register_module()
class OwnView(Component):
    """Table 6, "Diff. Aug": a flip, a scale, a place in the crop and colours of its own for each student and image.

    It comes on top of the loader's weak augmentation, which the students share. CAMs, refinement, labels and the noise
    filter work on a student's own view; the labels that it teaches are carried to the pupil's view. L_dis compares the
    features as they are, patch by patch, without carrying them.

    Differs from the paper: it names no operations; these are the weak augmentation's, in a smaller range of scales, so
    that two views overlap.

    Args:
        flip: Probability of a horizontal flip.
        scale: Smallest and largest scale. A view larger than the crop is cut to it, a smaller one stands on black, at a
            place that is drawn too.
        jitter: Probability of the colour jitter.
        brightness: The factor lies within 1 ± this.
        contrast: The factor lies within 1 ± this.
        saturation: The factor lies within 1 ± this.
        hue: The shift lies within ± this share of the colour circle, up to 0.5.
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
    def __call__(self, images: Tensor, boxes: Tensor, seeds: Sequence[int], students: int) -> list[Sight]:
        """A sight of its own for each student, the same for the same seeds.

        Args:
            images: (B, 3, H, W), normalised.
            boxes: y0, y1, x0, x1 of the photo, int64 (B, 4).
            seeds: One per image.
            students: How many.
        """
        pixels = (denormalise(images) * 255).round().to(torch.uint8)
        sights: list[Sight] = []
        for student in range(students):
            draws = [np.random.default_rng([int(seed), 2, student]) for seed in seeds]
            warp = self.draw(draws, images.shape[-2:], images.device)
            coloured = torch.stack([self.colour(x, rng) for x, rng in zip(pixels, draws, strict=True)])
            seen = warp.images(coloured.to(images.dtype)).round() / 255
            sights.append(OwnSight(normalise(seen), warp.boxes(boxes, images.shape[-2:]), warp))
        return sights

    def draw(self, draws: Sequence[Generator], size: Sequence[int], device: torch.device) -> Warp:
        """One warp per generator, for images of a size."""
        gain, shift = [], []
        for rng in draws:
            mirrored, scale = rng.random() < self.flip, rng.uniform(*self.scale)
            place = rng.random(2) * (1 - scale) * np.array(size)  # of the scaled image in the view
            sign = np.array([1.0, -1.0 if mirrored else 1.0])
            gain.append(sign / scale)
            shift.append(np.where(sign < 0, size, 0) - sign * place / scale)
        made = torch.from_numpy(np.stack([gain, shift])).to(device, non_blocking=True)
        return Warp(made[0], made[1])

    def colour(self, image: Tensor, rng: Generator) -> Tensor:
        """Brightness, contrast, saturation and hue of one uint8 image (3, H, W), in random order, or nothing."""
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

    def carry(self, labels: list[Tensor], teachers: Sequence[OwnSight], pupils: Sequence[OwnSight]) -> list[Tensor]:
        """Labels of teachers' views in pupils' views, nearest neighbour.

        Args:
            labels: What teaches each student, in its teacher's view, int64 (B, H, W); none before L_seg starts.
            teachers: The sight that each label belongs to.
            pupils: The sight that it is carried to.

        Returns:
            Int64 (B, H, W), 255 where the teacher's view does not reach and outside the pupil's photo.
        """
        return [
            teacher.warp.inverse().after(pupil.warp).labels(y).masked_fill(~inside(pupil.boxes, y.shape[1:]), IGNORE)
            for y, teacher, pupil in zip(labels, teachers, pupils, strict=False)
        ]
