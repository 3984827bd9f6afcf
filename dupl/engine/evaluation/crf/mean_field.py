"""Dense CRF in torch: mean field, with a convolution for the Gaussian kernel and a lattice for the bilateral one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dupl.config.schema import CRF
from dupl.engine.evaluation.crf.parameters import CLIP, Labels, Probabilities
from dupl.method.permutohedral import PermutohedralFilter, bilateral_features


def refine(
    image: NDArray[np.uint8], probabilities: Probabilities, crf: CRF, device: str | torch.device = "cpu"
) -> Labels:
    """Refine several probability maps of one image, which share the kernels.

    Args:
        image: RGB, (H, W, 3).
        probabilities: (S, C, H, W).
        crf: The parameters.
        device: The device to compute on.

    Returns:
        The most likely of the C classes at each pixel, uint8 (S, H, W).
    """
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=False):  # its convolutions round to 10 bits
        kernels = Kernels(torch.tensor(image, device=device), crf)
        beliefs = (kernels.mean_field(torch.tensor(p, device=device), crf.iterations) for p in probabilities)
        return np.stack([belief.argmax(0).to(torch.uint8).cpu().numpy() for belief in beliefs])


class Kernels:
    """The two pairwise kernels of one image, each normalised on both sides by the root of its sum as in pydensecrf.

    The Gaussian kernel is exact; pydensecrf approximates it on a lattice. The bilateral kernel uses the same lattice.

    Args:
        image: RGB, uint8 (H, W, 3).
        crf: The parameters.
    """

    def __init__(self, image: Tensor, crf: CRF) -> None:
        self.gaussian = GaussianFilter(image.shape[:2], crf.sxy, crf.compat, image.device)
        features = bilateral_features(image, crf.bilateral_sxy, crf.srgb)
        self.bilateral = PermutohedralFilter(features, crf.bilateral_compat)

    def mean_field(self, probabilities: Tensor, iterations: int) -> Tensor:
        """Return the beliefs Q after all iterations, (C, H, W), for float32 probabilities (C, H, W).

        An iteration sets Q to softmax(log p + filtered Q), the Potts model; a pixel counts among its own neighbours.
        """
        unary = probabilities.flatten(1).T.contiguous().clamp_(CLIP, 1).log_()  # (H W, C)
        belief = unary.softmax(1)
        for _ in range(iterations):
            belief = self.gaussian(belief, onto=unary).add_(self.bilateral(belief)).softmax(1)
        return belief.T.reshape(probabilities.shape)


class GaussianFilter:
    """Filter pixel rows by exp(-distance^2 / (2 sxy^2)), normalised on both sides by the root of the kernel's sum.

    Args:
        size: Height and width of the image.
        sxy: Width of the kernel in pixels; it is cut off after three of them.
        gain: Factor on the result.
        device: Device of the rows.
    """

    def __init__(self, size: Sequence[int], sxy: float, gain: float, device: torch.device) -> None:
        self.radius, self.size = math.ceil(3 * sxy), tuple(size)
        steps = torch.arange(-self.radius, self.radius + 1, device=device)
        self.kernel = torch.exp(-0.5 * (steps / sxy) ** 2)
        self.before = self._filter(torch.ones(math.prod(self.size), 1, device=device)).rsqrt_()
        self.after = self.before * gain

    def __call__(self, rows: Tensor, onto: Tensor) -> Tensor:
        """Return ``onto`` plus the filtered float32 rows, (H W, C)."""
        return torch.addcmul(onto, self._filter(rows * self.before), self.after)

    def _filter(self, rows: Tensor) -> Tensor:
        channels = rows.shape[1]
        planes = rows.view(1, *self.size, channels).permute(0, 3, 1, 2)  # channels last in memory
        down = self.kernel.view(1, 1, -1, 1).expand(channels, -1, -1, -1)
        across = self.kernel.view(1, 1, 1, -1).expand(channels, -1, -1, -1)
        planes = F.conv2d(planes, down, padding=(self.radius, 0), groups=channels)
        planes = F.conv2d(planes, across, padding=(0, self.radius), groups=channels)
        return planes.permute(0, 2, 3, 1).reshape(-1, channels)
