"""The further views that the class token contrast compares with a training image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dupl.config.kinds import Positive, Share
from dupl.data.placement import Box
from dupl.data.transforms import WeakAugment
from dupl.errors import UserError

Pixels = NDArray[np.uint8]


class ContrastViews(NamedTuple):
    """A training image with its further views; C is the side of the crop.

    Attributes:
        crop: The training image, (C, C, 3).
        box: The part of it that shows the photo.
        other_view: A second global view, cut from anywhere in the photo, (C, C, 3).
        local_source: The crop in other colours, from which local crops are cut, (C, C, 3).
    """

    crop: Pixels
    box: Box
    other_view: Pixels
    local_source: Pixels


@dataclass(frozen=True)
class ContrastAugment:
    """How the further views of the class token contrast are made; colours are those of the weak augmentation.

    Attributes:
        aligned: Whether the local crops are cut where the CAM of the image was looked at. Released code: False, the
            image and the source of its crops are mirrored independently of each other and of the photo's box.
        area: Smallest and largest share of the photo that the other view shows.
        ratio: Smallest and largest ratio of width to height of what it shows.
        other_blur: Probability of a blur of the other view.
        solarize: Probability that the other view is solarised: values of 128 and more are inverted.
        local_blur: Probability of a blur of the source of local crops.
    """

    aligned: bool = True
    area: tuple[Share, Share] = (0.4, 1.0)
    ratio: tuple[Positive, Positive] = (0.75, 4 / 3)
    other_blur: Share = 0.1
    solarize: Share = 0.2
    local_blur: Share = 0.5

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any] | None) -> ContrastAugment:
        """Build from the section ``contrast_augment`` of a recipe; the defaults where there is none.

        Raises:
            UserError: A setting is unknown, or a value is out of its range.
        """
        settings = dict(settings or {})
        known = {field.name for field in fields(cls)}
        if unknown := sorted(settings.keys() - known):
            raise UserError(f"contrast_augment: unknown setting '{unknown[0]}'; it takes {', '.join(sorted(known))}")
        return cls(**settings)

    def __post_init__(self) -> None:
        """Refuse values out of their range."""
        for name, most in (("area", 1.0), ("ratio", math.inf)):
            low, high = getattr(self, name)
            if not 0 < low <= high <= most:
                raise UserError(f"contrast_augment: {name}={getattr(self, name)}; give (smallest, largest), above 0")
        for name in ("other_blur", "solarize", "local_blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"contrast_augment: {name}={getattr(self, name)}; give a probability from 0 to 1")

    def __call__(self, weak: WeakAugment, photo: Pixels, rng: Generator) -> ContrastViews:
        """Make all views of a photo (H, W, 3); where they are aligned, its crop and box are those of ``weak`` alone."""
        placement = weak.draw(photo.shape[:2], rng)
        crop = placement.image(photo)
        seen = crop if self.aligned else _mirrored(crop, rng)
        image = weak.recolour(seen, rng)
        local = weak_with(weak, self.local_blur).recolour(crop if self.aligned else _mirrored(crop, rng), rng)
        other = weak_with(weak, self.other_blur).recolour(self.other_view(photo, weak, rng), rng)
        if rng.random() < self.solarize:
            other = np.array(ImageOps.solarize(Image.fromarray(other)))
        return ContrastViews(image, placement.box, other, local)

    def other_view(self, photo: Pixels, weak: WeakAugment, rng: Generator) -> Pixels:
        """Cut a random part of a photo, resize it to the side of the crop (bicubic), and mirror it or not."""
        top, left, height, width = self.draw(photo.shape[0], photo.shape[1], rng)
        part = Image.fromarray(photo[top : top + height, left : left + width])
        view = np.array(part.resize((weak.crop, weak.crop), Image.Resampling.BICUBIC))
        return view[:, ::-1].copy() if rng.random() < weak.flip else view

    def draw(self, height: int, width: int, rng: Generator) -> tuple[int, int, int, int]:
        """Draw top, left, height and width of a part of a photo; ten tries, then the largest part in the middle."""
        for _ in range(10):
            area = height * width * rng.uniform(*self.area)
            ratio = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top, left = int(rng.integers(height - h, endpoint=True)), int(rng.integers(width - w, endpoint=True))
                return top, left, h, w
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        w, h = max(1, min(width, round(height * ratio))), max(1, min(height, round(width / ratio)))
        return (height - h) // 2, (width - w) // 2, h, w


def weak_with(weak: WeakAugment, blur: float) -> WeakAugment:
    """Return the augmentation with another probability of blur."""
    return replace(weak, blur=blur)


def _mirrored(crop: Pixels, rng: Generator) -> Pixels:
    return crop[:, ::-1].copy() if rng.random() < 0.5 else crop
