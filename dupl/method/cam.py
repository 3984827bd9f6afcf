"""Multi-scale class activation maps (CAMs) of the classes that an image has (Eq. 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.method.attention import Attention
from dupl.method.backbone import Tokens
from dupl.method.equations import max_min_norm
from dupl.method.network import StudentOutput, SubNet


@dataclass(frozen=True)
class Present:
    """The foreground classes that each of B images has, in M slots, where M is the largest number of one image.

    Attributes:
        index: Class of each slot, int64 (B, M), counted from 0 without background; any class in an unfilled slot.
        valid: Whether the slot is filled, bool (B, M).
    """

    index: Tensor
    valid: Tensor

    @classmethod
    def of(cls, tags: Tensor) -> Present:
        """Collect the classes of tags (B, K) of 0/1; M is at least 1.

        Call it while the tags are on the CPU: M depends on their values, so that a GPU would have to wait.
        """
        slots = max(1, int((tags > 0).sum(1).max()))
        valid, index = (tags > 0).to(torch.uint8).sort(dim=1, descending=True, stable=True)
        return cls(index[:, :slots], valid[:, :slots].bool())

    def to(self, device: torch.device) -> Present:
        """Copy both tensors to a device."""
        return Present(self.index.to(device, non_blocking=True), self.valid.to(device, non_blocking=True))

    def pick(self, maps: Tensor) -> Tensor:
        """Select the maps of the slots, (B, M, h, w), from those of all classes, (B, K, h, w)."""
        return maps.gather(1, self.index[..., None, None].expand(-1, -1, *maps.shape[2:]))

    def label(self, winner: Tensor) -> Tensor:
        """Convert slots to labels, 1 for the first foreground class; both int64 (B, H, W)."""
        return self.index.gather(1, winner.flatten(1)).view_as(winner) + 1


@dataclass(frozen=True)
class Maps:
    """The normalised CAMs of one student, 0 in unfilled slots.

    Attributes:
        main: From the last block, (B, M, H, W) in [0, 1).
        aux: From the auxiliary block, (B, M, H, W) in [0, 1); ``main`` itself where there is no such block.
        affinity: Of the patches at the largest scale, where it is asked for.
    """

    main: Tensor
    aux: Tensor
    affinity: PatchAffinity | None = None


@dataclass(frozen=True)
class PatchAffinity:
    """How much patches belong together.

    Attributes:
        S: (B, h w, h w) in (0, 1).
        grid: h and w.
    """

    S: Tensor
    grid: tuple[int, int]


Reader = Callable[[Attention], Tensor]  # from the attention of B images to their affinities, (B, h w, h w)


@torch.no_grad()
def multi_scale_cam(
    net: SubNet,
    images: Tensor,
    present: Present,
    scales: Sequence[float],
    output: StudentOutput | None = None,
    reader: Reader | None = None,
) -> Maps:
    """Compute CAMs at several scales, each with its mirror image.

    The maximum of an image and its mirror image, ReLU unless the net does without, the sum over scales, max-min
    normalisation. Released code; Eq. 1 of the paper has one scale.

    Args:
        net: The student.
        images: (B, 3, H, W), normalised.
        present: The classes to map.
        scales: Factors on the sides of the images; ``Backbone.fit`` decides about sides that are not whole patches.
        output: What the student gave for these images; used at scale 1 instead of another forward pass, unless that
            pass drops branches that a pass without gradients does not, see ``MixBackbone.drops``.
        reader: Predicts the affinity of the patches from the attention at the largest scale; None: there is none.

    Returns:
        The maps at the size of the images.
    """
    size = images.shape[-2:]
    sums: list[Tensor] = []
    affinity = None
    for scale in scales:
        scaled = resize(images, [net.backbone.scaled_side(int(scale * side)) for side in size])
        seen: StudentOutput | Tokens
        if output is not None and scaled is images and not net.backbone.drops:
            seen = output
            straight = net.class_evidence(output.features, output.aux_features)
            mirrored = net.class_evidence(*net.backbone(scaled.flip(-1))[:2])
        else:
            seen = net.backbone(torch.cat([scaled, scaled.flip(-1)]))
            both = net.class_evidence(seen.features, seen.aux_features)
            straight, mirrored = zip(*(maps.chunk(2) for maps in both), strict=True)
        if reader is not None and seen.attention is not None and scale == max(scales):
            height, width = seen.features.shape[-2:]
            affinity = PatchAffinity(reader(seen.attention.first(len(images))), (height, width))
        at_scale = [
            rectify(net, torch.maximum(enlarge(present.pick(a), size), enlarge(present.pick(b), size).flip(-1)))
            for a, b in zip(straight, mirrored, strict=True)
        ]
        sums = [s.add_(m) for s, m in zip(sums, at_scale, strict=True)] if sums else at_scale
    maps = [max_min_norm(s) * present.valid[..., None, None] for s in sums]
    return Maps(maps[0], maps[-1], affinity)


def rectify(net: SubNet, evidence: Tensor) -> Tensor:
    """Apply the ReLU of Eq. 1 in place, unless the net's CAMs keep negative evidence."""
    return evidence.relu_() if net.cam_relu else evidence


def resize(images: Tensor, size: Sequence[int]) -> Tensor:
    """Resize images (B, 3, H, W) to ``size``; the same tensor where they have it."""
    if tuple(size) == tuple(images.shape[-2:]):
        return images
    return F.interpolate(images, size=tuple(size), mode="bilinear", align_corners=False)


def enlarge(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge maps (B, C, h, w) from patches to pixels, (B, C, H, W), bilinear."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def label_by_threshold(maps: Tensor, present: Present, threshold: float) -> Tensor:
    """Turn CAMs into a segmentation: the strongest class where it exceeds the threshold, elsewhere background.

    Args:
        maps: CAMs, (B, M, H, W).
        present: The classes of the slots.
        threshold: Score above which a pixel is foreground, in [0, 1].

    Returns:
        Labels, int64 (B, H, W).
    """
    value, winner = maps.max(1)
    return present.label(winner).masked_fill(value <= threshold, 0)
