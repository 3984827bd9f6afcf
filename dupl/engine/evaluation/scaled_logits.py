"""Logits of one student at several scales, each with its flip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dupl.engine.evaluation.protocol import resize
from dupl.method.network import SubNet


def patch_logits(net: SubNet, image: Tensor, base: Sequence[int], scales: Sequence[float]) -> list[Tensor]:
    """Add the segmentation logits of images and of their mirror images, for each scale.

    Args:
        net: The student.
        image: Normalised images, (B, 3, H, W).
        base: Height and width at scale 1; ``Backbone.fit`` decides about scaled sides that are not whole patches.
        scales: The scales.

    Returns:
        Float32 (B, C, h, w) for each scale, in the resolution of the patches; resizing, being linear, may follow.
    """
    found = []
    for scale in scales:
        scaled = resize([net.backbone.scaled_side(int(scale * side)) for side in base], image)
        straight, mirrored = net.segment(torch.cat([scaled, scaled.flip(-1)])).float().chunk(2)
        found.append(straight + mirrored.flip(-1))
    return found


def over_scales(logits: Sequence[Tensor], how: str) -> Tensor:
    """Return the largest logit over scales ("max"), or their sum ("sum")."""
    return torch.stack(list(logits)).amax(0) if how == "max" else torch.stack(list(logits)).sum(0)
