"""The weak augmentation of a training photo; all random numbers come from the given generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from dupl.config.kinds import In, NotNegative, Pixels, Positive, Share
from dupl.data.placement import Box, Placement
from dupl.errors import UserError

Radius = Annotated[float, In("[0, inf)", "px")]


@dataclass(frozen=True)
class WeakAugment:
    """Random scale, flip and crop, then colours, grey and blur.

    Released code: the same steps, ranges and order. A step whose probability or range is 0 (scale: 1 or None)
    is skipped.

    Attributes:
        crop: Side C of the square crop, in pixels.
        scale: Range of the random scale.
        flip: Probability of a horizontal flip.
        jitter: Probability of the colour jitter.
        brightness: The factor lies within 1 ± this.
        contrast: The factor lies within 1 ± this.
        saturation: The factor lies within 1 ± this.
        hue: The shift lies within ± this share of the colour circle, up to 0.5.
        gray: Probability of grey.
        blur: Probability of a Gaussian blur.
        blur_radius: Range of its radius, in pixels.
    """

    crop: Pixels
    scale: tuple[Positive, Positive] | NotNegative | None = (0.5, 2.0)
    flip: Share = 0.5
    jitter: Share = 0.8
    brightness: Share = 0.4
    contrast: Share = 0.4
    saturation: Share = 0.2
    hue: Annotated[float, In("[0, 0.5]")] = 0.1
    gray: Share = 0.2
    blur: Share = 1.0
    blur_radius: tuple[Radius, Radius] = (0.1, 2.0)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> WeakAugment:
        """Build from the `augment` section of a recipe; None means 0.

        Raises:
            UserError: A setting is unknown or missing, or a value is out of its range.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise UserError(f"augment: unknown setting '{unknown[0]}'; it takes {', '.join(sorted(known))}")
        if "crop" not in settings:
            raise UserError("augment: crop is not set; give the side of the training crop in pixels")
        values: dict[str, Any] = {key: 0 if value is None else value for key, value in settings.items()}
        return cls(**values)

    def __post_init__(self) -> None:
        """Refuse values out of their range."""
        if not isinstance(self.crop, int) or self.crop < 1:
            raise UserError(f"augment: crop={self.crop}; give a whole number of pixels, at least 1")
        low, high = self.scale_range
        if not 0 < low <= high:
            raise UserError(f"augment: scale={self.scale}; give (smallest, largest), above 0")
        for name in ("flip", "jitter", "gray", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"augment: {name}={getattr(self, name)}; give a probability from 0 to 1")
        for name, most in (("brightness", 1.0), ("contrast", 1.0), ("saturation", 1.0), ("hue", 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise UserError(f"augment: {name}={getattr(self, name)}; give a number from 0 to {most}")
        if not 0 <= self.blur_radius[0] <= self.blur_radius[1]:
            raise UserError(f"augment: blur_radius={self.blur_radius}; give (smallest, largest), at least 0")

    @property
    def scale_range(self) -> tuple[float, float]:
        """Smallest and largest scale; (1, 1) where scaling is off."""
        if not self.scale:
            return 1.0, 1.0
        return (self.scale, self.scale) if isinstance(self.scale, (int, float)) else (self.scale[0], self.scale[1])

    def __call__(self, image: NDArray[np.uint8], rng: Generator) -> tuple[NDArray[np.uint8], Box]:
        """Return an augmented crop (C, C, 3) of an image (H, W, 3), and the box of it that shows the photo.

        Outside the box the crop is black before the colour steps. As in the released code these follow the padding,
        so contrast and blur may change it a little.
        """
        placement = self.draw(image.shape[:2], rng)
        return self.recolour(placement.image(image), rng), placement.box

    def with_mask(
        self, image: NDArray[np.uint8], mask: NDArray[np.uint8], rng: Generator
    ) -> tuple[NDArray[np.uint8], Box, NDArray[np.uint8]]:
        """Return the same crop and box as without a mask, and the mask (H, W) cropped in the same way, (C, C)."""
        placement = self.draw(image.shape[:2], rng)
        return self.recolour(placement.image(image), rng), placement.box, placement.mask(mask)

    def recolour(self, crop: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
        """Apply the colour steps to a crop."""
        picture = Image.fromarray(crop)
        if rng.random() < self.jitter:
            picture = self._jittered(picture, rng)
        if rng.random() < self.gray:
            picture = picture.convert("L").convert("RGB")
        if rng.random() < self.blur:
            picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(*self.blur_radius)))
        return np.array(picture)

    def draw(self, shape: tuple[int, ...], rng: Generator) -> Placement:
        """Draw scale, flip and position of the crop for a photo of a height and width."""
        low, high = self.scale_range
        scale = rng.uniform(low, high)
        flip = rng.random() < self.flip
        scaled = max(1, int(scale * shape[0])), max(1, int(scale * shape[1]))
        top, y0, shown_rows = _window(scaled[0], self.crop, rng)
        left, x0, shown_columns = _window(scaled[1], self.crop, rng)
        box = (y0, y0 + shown_rows, x0, x0 + shown_columns)
        return Placement(self.crop, (shape[0], shape[1]), scaled, flip, (top, left), box)

    def _jittered(self, picture: Image.Image, rng: Generator) -> Image.Image:
        """Change brightness, contrast, saturation and hue, in random order (torchvision's ColorJitter)."""
        factors = 1 + rng.uniform(-1, 1, 3) * (self.brightness, self.contrast, self.saturation)
        shift = rng.uniform(-self.hue, self.hue)
        enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for step in rng.permutation(4):
            if step == 3:
                picture = _hue_shifted(picture, shift)
            elif factors[step] != 1:
                picture = enhancers[step](picture).enhance(factors[step])
        return picture


def _window(length: int, crop: int, rng: Generator) -> tuple[int, int, int]:
    """Draw along one axis; return the crop's start in the image, the image's start in the crop, the shown length."""
    slack = int(rng.integers(abs(crop - length), endpoint=True))
    return (0, slack, length) if length <= crop else (slack, 0, crop)


def _hue_shifted(picture: Image.Image, shift: float) -> Image.Image:
    """Shift the hue by a share of the colour circle."""
    if not shift:
        return picture
    hue, saturation, value = picture.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(int(shift * 255) % 256)  # wraps around
    return Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")
