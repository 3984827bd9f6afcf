"""[L_energy] Dense energy of a segmentation: similar pixels that disagree cost (L_reg of ToCo and CoSA).

Source: Tang et al., *On Regularized Losses for Weakly-supervised CNN Segmentation*, 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.config.kinds import Count, In, Positive, Start
from dupl.method.boxes import inside
from dupl.method.component import Component
from dupl.method.permutohedral import PermutohedralFilter, bilateral_features
from dupl.method.pixels import denormalise
from dupl.method.view import View, shared
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock


def energy(S: Tensor, filtered: Tensor, gate: Tensor) -> Tensor:
    """Compute -sum_c S_c (K S)_c gate, averaged over images, with the gradient -2 (K S)_c gate of a symmetric K.

    Args:
        S: Probabilities inside the photo, 0 outside, (B, C, h, w).
        filtered: K S, without a gradient, (B, C, h, w).
        gate: Weight of each pixel, without a gradient, (B, h, w).
    """
    return -((2 * S - S.detach()) * filtered * gate[:, None]).sum() / len(S)


@COMPONENTS.register_module()
class DenseEnergy(Component):
    """Dense energy of the predicted probabilities, with a kernel of place and colour (L_reg of ToCo and CoSA).

    The energy is -sum_c S_c (K S)_c gate: it is low where similar pixels share a class. Pixels count in full where the
    target is 255, elsewhere by the probability that the most likely class leaves.

    Released code: the kernel is that of a permutohedral lattice, as here. The lattice's sum is about 0.52 of the exact
    kernel's, which is left in: divide ``scale`` by 0.52 for the energy of the exact kernel.

    Args:
        start: First iteration at which it acts. Released code of ToCo: 2001 on VOC, 8001 on COCO.
        scale: Factor on the energy.
        sigma_xy: Width of the kernel in space, in pixels of the image.
        sigma_rgb: Width of the kernel in colour, in grey levels of 0 to 255.
        downscale: The energy is computed at 1 / downscale of the resolution.
    """

    def __init__(
        self,
        start: Start = 0,
        scale: Positive = 1e-7,
        sigma_xy: Annotated[float, In("(0, inf)", "px")] = 100.0,
        sigma_rgb: Annotated[float, In("(0, inf)", "grey levels")] = 15.0,
        downscale: Count = 2,
    ) -> None:
        super().__init__(start)
        self.scale, self.sigma_xy, self.sigma_rgb, self.downscale = scale, sigma_xy, sigma_rgb, downscale

    def __call__(
        self, views: Sequence[View], log_P: Sequence[Tensor] | None, targets: Sequence[Tensor] | None, clock: Clock
    ) -> Tensor | None:
        """Compute the dense energy, a scalar: the sum over students; None, as without this term, before it starts.

        Args:
            views: The view of each student.
            log_P: Log-probabilities of each student, (B, K + 1, H, W); None before training makes them.
            targets: Labels that each student learns from, int64 (B, H, W), 255 = none.
            clock: t and T.
        """
        if log_P is None or targets is None or not self.active(clock):
            return None
        value = views[0].images.new_zeros((), dtype=torch.float32)
        for view, which in shared(views):
            kernels = [self.kernel(image) for image in denormalise(view.images)]
            for p, y in zip(log_P[which], targets[which], strict=True):
                value = value + self.scale * self.one(p, y, view.boxes, kernels)
        return value

    def kernel(self, image: Tensor) -> PermutohedralFilter:
        """Build the filter of an image (3, H, W) in [0, 1], at the reduced resolution."""
        pixels = _reduce(image[None] * 255, self.downscale, "nearest")[0].permute(1, 2, 0)  # (h, w, 3)
        features = bilateral_features(pixels, self.sigma_xy / self.downscale, self.sigma_rgb)
        return PermutohedralFilter(features, normalise=False)

    def one(self, log_P: Tensor, Y: Tensor, boxes: Tensor, kernels: Sequence[PermutohedralFilter]) -> Tensor:
        """Compute the energy of one student, before ``scale``."""
        P = _reduce(log_P.exp(), self.downscale, "bilinear")  # (B, C, h, w)
        photo = _reduce(inside(boxes, Y.shape[1:])[:, None].to(P), self.downscale, "nearest")  # (B, 1, h, w)
        undecided = _reduce((Y == IGNORE)[:, None].to(P), self.downscale, "nearest")[:, 0] > 0  # (B, h, w)
        gate = (photo[:, 0] - P.detach().amax(1)).clamp(min=0).masked_fill(undecided, 1)
        S = P * photo
        rows = S.detach().flatten(2).transpose(1, 2)  # (B, h w, C)
        filtered = torch.stack([kernel(x.contiguous()) for kernel, x in zip(kernels, rows, strict=True)])
        return energy(S, filtered.transpose(1, 2).view_as(S), gate)


def _reduce(maps: Tensor, factor: int, mode: str) -> Tensor:
    """Reduce maps (B, C, H, W) to H // factor x W // factor."""
    if factor == 1:
        return maps
    size = [side // factor for side in maps.shape[-2:]]
    return F.interpolate(maps, size=size, mode=mode, align_corners=False if mode == "bilinear" else None)


@COMPONENTS.register_module()
class NoDenseEnergy(Component):
    """Dense energy switched off: there is no such term."""

    null = True

    def __call__(self, *_: object) -> None:
        """Return None: there is no term."""
