"""Multi-scale, flipped class activation maps of the classes an image has (Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.method.equations import max_min_norm
from dupl.method.network import SubNet
from dupl.structures import View


@dataclass(frozen=True)
class Present:
    """The foreground classes of each of B images, padded to the most classes of one, M.

    Attributes:
        index: Class of each slot, 0-based among foreground classes, int64 (B, M).
        valid: Whether the slot is filled, bool (B, M).
    """

    index: Tensor
    valid: Tensor

    @classmethod
    def of(cls, tags: Tensor) -> Present:
        """From tags (B, K) of 0/1; M is at least 1. Call it where the tags are on the CPU: it reads them."""
        slots = max(1, int((tags > 0).sum(1).max()))
        valid, index = (tags > 0).to(torch.uint8).sort(dim=1, descending=True, stable=True)
        return cls(index[:, :slots], valid[:, :slots].bool())

    def to(self, device: torch.device) -> Present:
        """On another device."""
        return Present(self.index.to(device, non_blocking=True), self.valid.to(device, non_blocking=True))

    def pick(self, maps: Tensor) -> Tensor:
        """The slots' maps (B, M, h, w) out of all classes' (B, K, h, w)."""
        return maps.gather(1, self.index[..., None, None].expand(-1, -1, *maps.shape[2:]))

    def label(self, winner: Tensor) -> Tensor:
        """Label ids (1-based) of winning slots, both int64 (B, H, W)."""
        return self.index.gather(1, winner.flatten(1)).view_as(winner) + 1


@dataclass(frozen=True)
class Maps:
    """Normalised maps of one student, 0 in unfilled slots.

    Attributes:
        main: From the last block, (B, M, H, W), in [0, 1).
        aux: From the auxiliary block, (B, M, H, W), in [0, 1).
    """

    main: Tensor
    aux: Tensor


@torch.no_grad()
def multi_scale_cam(
    net: SubNet, images: Tensor, present: Present, scales: Sequence[float], view: View | None = None
) -> Maps:
    """Maps over scales, each with its flip: max over flip, ReLU, sum over scales, max-min norm.

    Source: released code (the paper's Eq. 1 has one scale).

    Args:
        net: The student.
        images: (B, 3, H, W), normalised.
        present: Which classes to map.
        scales: Of the image side; each scaled side is rounded to whole patches.
        view: The student's forward of these images, reused at scale 1 where given.
    """
    size = images.shape[-2:]
    sums: list[Tensor] = []
    for scale in scales:
        scaled = _resize(images, [net.backbone.fit(int(scale * side)) for side in size])
        if view is not None and scaled is images:
            straight = net.evidence(view.features, view.aux_features)
            mirrored = net.evidence(*net.backbone(scaled.flip(-1)))
        else:
            both = net.evidence(*net.backbone(torch.cat([scaled, scaled.flip(-1)])))
            straight, mirrored = zip(*(maps.chunk(2) for maps in both), strict=True)
        at_scale = [
            torch.maximum(_enlarge(present.pick(a), size), _enlarge(present.pick(b), size).flip(-1)).relu_()
            for a, b in zip(straight, mirrored, strict=True)
        ]
        sums = [s.add_(m) for s, m in zip(sums, at_scale, strict=True)] if sums else at_scale
    main, aux = (max_min_norm(s) * present.valid[..., None, None] for s in sums)
    return Maps(main, aux)


def _resize(images: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(size) == tuple(images.shape[-2:]):
        return images
    return F.interpolate(images, size=tuple(size), mode="bilinear", align_corners=False)


def _enlarge(maps: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def label_by_threshold(maps: Tensor, present: Present, threshold: float) -> Tensor:
    """The CAM as a segmentation: its strongest class where that exceeds ``threshold``, else background.

    Args:
        maps: (B, M, H, W).
        present: The slots' classes.
        threshold: In [0, 1].

    Returns:
        Labels, int64 (B, H, W).
    """
    value, winner = maps.max(1)
    return present.label(winner).masked_fill(value <= threshold, 0)
