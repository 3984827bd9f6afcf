"""What CoSA's assignment network makes of a batch: CAMs and segmentation logits over several scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dupl.method.cam import Maps, Present, enlarge, rectify, resize
from dupl.method.equations import max_min_norm
from dupl.method.network import SubNet

AuxScales = Literal["all", "last"]


@dataclass(frozen=True)
class Assignment:
    """The labels of the assignment network before thresholds, in pixels of the images.

    Attributes:
        maps: CAMs of the classes of the slots, (B, M, H, W) in [0, 1), of both classifiers.
        logits: Segmentation logits of background and slots, summed over scales and mirror images, (B, M + 1, H, W).
    """

    maps: Maps
    logits: Tensor


@torch.no_grad()
def assign(
    net: SubNet, images: Tensor, present: Present, scales: Sequence[float], aux_scales: AuxScales = "all"
) -> Assignment:
    """Compute CAMs and segmentation logits at several scales, each with its mirror image.

    CAMs: as of ``multi_scale_cam``. Logits: the sum of all. Only classes of the slots are computed in pixels, because
    no other class is read.

    Args:
        net: The assignment network.
        images: The weak view, (B, 3, H, W), normalised.
        present: The classes of the images in slots.
        scales: Factors on the sides of the images.
        aux_scales: Scales of the auxiliary CAM: "all", or the "last" one alone (released code, whose list is assigned
            anew at each scale).
    """
    size = images.shape[-2:]
    sums: list[list[Tensor]] = [[], [], []]
    for scale in scales:
        scaled = resize(images, [net.backbone.scaled_side(int(scale * side)) for side in size])
        output = net(torch.cat([scaled, scaled.flip(-1)]))
        evidence = net.class_evidence(output.features, output.aux_features)
        cams = []
        for maps in evidence:
            straight, mirrored = (enlarge(present.pick(half), size) for half in maps.chunk(2))
            cams.append(rectify(net, torch.maximum(straight, mirrored.flip(-1))))
        halves = [_of_slots(half, present) for half in output.logits.float().chunk(2)]
        straight, mirrored = (enlarge(half, size) for half in halves)
        for kept, made in zip(sums, [*cams, straight + mirrored.flip(-1)], strict=True):
            kept.append(made)
    if aux_scales == "last":
        sums[1] = sums[1][-1:]
    main, aux, logits = (torch.stack(made).sum(0) for made in sums)
    valid = present.valid[..., None, None]
    return Assignment(Maps(max_min_norm(main) * valid, max_min_norm(aux) * valid), logits)


def _of_slots(logits: Tensor, present: Present) -> Tensor:
    """Select the logits (B, M + 1, h, w) of background and slots from those of all classes, (B, K + 1, h, w)."""
    return torch.cat([logits[:, :1], present.pick(logits[:, 1:])], 1)
