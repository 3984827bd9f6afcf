"""Conversion between normalised images, which networks take, and images in [0, 1], which colour operations take."""

from __future__ import annotations

from torch import Tensor

from dupl.structures import IMAGE_MEAN, IMAGE_STD


def denormalise(images: Tensor) -> Tensor:
    """Return normalised images (B, 3, H, W) as values in [0, 1], rounded to the 8-bit levels they came from."""
    mean, std = (images.new_tensor(c)[:, None, None] for c in (IMAGE_MEAN, IMAGE_STD))
    return ((images * std + mean) * 255).round_().clamp_(0, 255) / 255


def normalise(images: Tensor) -> Tensor:
    """Return images (B, 3, H, W) in [0, 1] with ImageNet's mean subtracted, divided by its standard deviation."""
    mean, std = (images.new_tensor(c)[:, None, None] for c in (IMAGE_MEAN, IMAGE_STD))
    return (images - mean) / std
