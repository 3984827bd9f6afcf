"""Conversion between normalised images, which networks take, and images in [0, 1], which colour operations take."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dupl.structures import IMAGE_MEAN, IMAGE_STD

RELEASED_MEAN, RELEASED_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # in levels, as the released code


Levels = Literal["round", "truncate"]


def denormalise(images: Tensor, levels: Levels = "round") -> Tensor:
    """Return normalised images (B, 3, H, W) as 8-bit levels divided by 255.

    Args:
        images: Normalised.
        levels: "round" gives the levels that the images were made of. "truncate" gives those of the released code: it
            normalises and denormalises in float32 and cuts off the fraction, so that some levels become lower by one.
    """
    mean, std = (images.new_tensor(c)[:, None, None] for c in (IMAGE_MEAN, IMAGE_STD))
    photo = ((images * std + mean) * 255).round_().clamp_(0, 255) / 255
    if levels == "round":
        return photo
    mean_255, std_255 = (images.new_tensor(c)[:, None, None] for c in (RELEASED_MEAN, RELEASED_STD))
    return ((photo - mean) / std * std_255 + mean_255).to(torch.uint8) / 255


def normalise(images: Tensor) -> Tensor:
    """Return images (B, 3, H, W) in [0, 1] with ImageNet's mean subtracted, divided by its standard deviation."""
    mean, std = (images.new_tensor(c)[:, None, None] for c in (IMAGE_MEAN, IMAGE_STD))
    return (images - mean) / std
