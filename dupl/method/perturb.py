"""phi: the strong augmentation of Sec. 3.3, and the inverse of its geometry for predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from dupl.config.kinds import In, Share
from dupl.registry import COMPONENTS

# The colour operations of RandAugment, each with its strength at magnitude 0 and at magnitude 30.
COLOUR: dict[str, tuple[Callable[[Tensor, float], Tensor], float, float]] = {
    "AutoContrast": (lambda x, _: tv.autocontrast(x), 0.0, 1.0),
    "Equalize": (lambda x, _: tv.equalize(x), 0.0, 1.0),
    "Posterize": (lambda x, v: tv.posterize(x, max(1, int(v))), 0.0, 6.0),
    "Color": (tv.adjust_saturation, 0.1, 1.9),
    "Contrast": (tv.adjust_contrast, 0.1, 1.9),
    "Brightness": (tv.adjust_brightness, 0.1, 1.9),
    "Sharpness": (tv.adjust_sharpness, 0.1, 1.9),
}


@dataclass(frozen=True)
class Perturbed:
    """Strongly augmented images phi(X), and which of them are mirrored.

    Attributes:
        images: (B, 3, H', W') in [0, 1].
        flipped: Whether each image is mirrored, bool (B,).
    """

    images: Tensor
    flipped: Tensor


@COMPONENTS.register_module()
class StrongPerturbation:
    """RandAugment on colours, a horizontal flip and a smaller scale.

    Args:
        ops: Number of colour operations for each image, drawn from seven with replacement. Released code: 5.
        magnitude: Magnitude of RandAugment, in [0, 30]. Released code: 10.
        flip: Probability of the flip. Released code: 1.
        scale: Factor on the sides of the image, in (0, 2]. Released code: 0.75.

    Raises:
        ValueError: A value lies outside its range.
    """

    def __init__(
        self,
        ops: Annotated[int, In("[0, inf)")] = 5,
        magnitude: Annotated[float, In("[0, 30]")] = 10,
        flip: Share = 1.0,
        scale: Annotated[float, In("(0, 2]")] = 0.75,
    ) -> None:
        if not 0 <= magnitude <= 30 or not 0 <= flip <= 1 or not 0 < scale <= 2 or ops < 0:
            raise ValueError(
                f"perturb has ops={ops}, magnitude={magnitude}, flip={flip}, scale={scale}: they must lie in [0, inf), "
                "[0, 30], [0, 1] and (0, 2]"
            )
        self.ops, self.magnitude, self.flip, self.scale = ops, magnitude, flip, scale

    def __call__(self, images: Tensor, seeds: Sequence[int], fit: Callable[[int], int] = int) -> Perturbed:
        """Compute phi(X), the same for the same seeds.

        Args:
            images: X, (B, 3, H, W) in [0, 1].
            seeds: One for each image.
            fit: Gives the side that the network takes for a scaled side.
        """
        pixels = (images * 255).round().to(torch.uint8)
        draws = [np.random.default_rng([int(seed), 1]) for seed in seeds]
        coloured = torch.stack([self.colour(x, rng) for x, rng in zip(pixels, draws, strict=True)])
        flipped = torch.tensor([bool(rng.random() < self.flip) for rng in draws]).to(images.device, non_blocking=True)
        strong = _mirror(coloured.to(images.dtype) / 255, flipped)
        size = [fit(int(self.scale * side)) for side in images.shape[-2:]]
        return Perturbed(F.interpolate(strong, size=size, mode="bilinear", align_corners=False), flipped)

    def colour(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Apply random colour operations to a uint8 image (3, H, W)."""
        for name in rng.choice(list(COLOUR), size=self.ops):
            operation, low, high = COLOUR[name]
            image = operation(image, low + (high - low) * self.magnitude / 30)
        return image

    def undo(self, logits: Tensor, flipped: Tensor, size: Sequence[int]) -> Tensor:
        """Return a prediction on phi(X), (B, C, h, w), in the coordinates of X, at ``size``."""
        return F.interpolate(_mirror(logits, flipped), size=tuple(size), mode="bilinear", align_corners=False)

    def twin(self, labels: Tensor, flipped: Tensor, size: Sequence[int]) -> Tensor:
        """Apply phi', the same geometry, to labels (B, H, W), nearest neighbour, at ``size``."""
        moved = _mirror(labels[:, None].float(), flipped)
        return F.interpolate(moved, size=tuple(size), mode="nearest")[:, 0].to(labels.dtype)


# The operations of CoSA's strong view: each takes a uint8 image and a strength from 0 to 1.
PHOTOMETRIC: dict[str, Callable[[Tensor, float], Tensor]] = {
    "Identity": lambda x, _: x,
    "AutoContrast": lambda x, _: tv.autocontrast(x),
    "Equalize": lambda x, _: tv.equalize(x),
    "Solarize": lambda x, v: tv.solarize(x, min(int(256 * v), 255)),
    "Color": lambda x, v: tv.adjust_saturation(x, 0.1 + 1.8 * v),
    "Contrast": lambda x, v: tv.adjust_contrast(x, 0.1 + 1.8 * v),
    "Brightness": lambda x, v: tv.adjust_brightness(x, 0.1 + 1.8 * v),
    "Sharpness": lambda x, v: tv.adjust_sharpness(x, 0.1 + 1.8 * v),
    "Posterize": lambda x, v: tv.posterize(x, 4 - int(4 * v)),
}


@COMPONENTS.register_module()
class OneOperation(StrongPerturbation):
    """One photometric operation at a random magnitude, so that coordinates stay the same (CoSA).

    The operation is one of nine, identity among them. Released code: magnitudes 1 to 9 of 10, operations of PIL, from
    which those of torchvision differ by rounding.

    Args:
        magnitude: Largest magnitude of the draw, which begins at 1, in [1, 9] of 10.

    Raises:
        ValueError: ``magnitude`` lies outside its range.
    """

    def __init__(self, magnitude: Annotated[int, In("[1, 9]")] = 9) -> None:
        if not 1 <= magnitude <= 9:
            raise ValueError(f"perturb.magnitude is {magnitude}: it must lie in [1, 9]")
        super().__init__(ops=1, magnitude=magnitude, flip=0.0, scale=1.0)

    def colour(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Apply one random operation to a uint8 image (3, H, W)."""
        operation = PHOTOMETRIC[str(rng.choice(list(PHOTOMETRIC)))]
        return operation(image, int(rng.integers(1, int(self.magnitude) + 1)) / 10)


@COMPONENTS.register_module()
class NoPerturbation(StrongPerturbation):
    """No strong augmentation: the image as it is."""

    null: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(ops=0, flip=0.0, scale=1.0)


def _mirror(x: Tensor, which: Tensor) -> Tensor:
    return torch.where(which[:, None, None, None], x.flip(-1), x)
