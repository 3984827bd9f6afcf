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


@COMPONENTS.register_module()
class NoPerturbation(StrongPerturbation):
    """No strong augmentation: the image as it is."""

    null: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(ops=0, flip=0.0, scale=1.0)


def _mirror(x: Tensor, which: Tensor) -> Tensor:
    return torch.where(which[:, None, None, None], x.flip(-1), x)
