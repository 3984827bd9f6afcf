"""Dense CRF in torch: mean field with a convolution for the near kernel and a lattice for the bilateral one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dupl.engine.evaluation.crf.dense_crf import CLIP, CRF, Labels, Probabilities
from dupl.engine.evaluation.crf.permutohedral import PermutohedralFilter


def refine(
    image: NDArray[np.uint8], probabilities: Probabilities, crf: CRF, device: str | torch.device = "cpu"
) -> Labels:
    """Labels of several probability maps of one image after the CRF; they share the kernels.

    Args:
        image: RGB, (H, W, 3).
        probabilities: (S, C, H, W).
        crf: The parameters.
        device: Where to compute.

    Returns:
        Positions among the C classes, uint8 (S, H, W).
    """
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=False):  # its convolutions round to 10 bits
        kernels = Kernels(torch.tensor(image, device=device), crf)
        beliefs = (kernels.mean_field(torch.tensor(p, device=device), crf.iterations) for p in probabilities)
        return np.stack([belief.argmax(0).to(torch.uint8).cpu().numpy() for belief in beliefs])


class Kernels:
    """Both pairwise kernels of one image. Each is divided by the root of its sum on both sides, as in pydensecrf.

    The near kernel is exact here, where pydensecrf approximates it on a lattice; the bilateral one is the same lattice.

    Args:
        image: RGB, uint8 (H, W, 3).
        crf: The parameters.
    """

    def __init__(self, image: Tensor, crf: CRF) -> None:
        self.near = GaussianFilter(image.shape[:2], crf.sxy, crf.compat, image.device)
        features = bilateral_features(image, crf.bilateral_sxy, crf.srgb)
        self.alike = PermutohedralFilter(features, crf.bilateral_compat)

    def mean_field(self, probabilities: Tensor, iterations: int) -> Tensor:
        """Beliefs Q after all iterations, (C, H, W), for float32 probabilities (C, H, W).

        A belief becomes softmax(log p + filtered beliefs), the Potts model; a pixel hears itself too.
        """
        unary = probabilities.flatten(1).T.contiguous().clamp_(CLIP, 1).log_()  # (H W, C)
        belief = unary.softmax(1)
        for _ in range(iterations):
            belief = self.near(belief, onto=unary).add_(self.alike(belief)).softmax(1)
        return belief.T.reshape(probabilities.shape)


def bilateral_features(image: Tensor, sxy: float, srgb: float) -> Tensor:
    """x, y and colour of every pixel in widths of the bilateral kernel, float32 (H W, 5), for uint8 (H, W, 3)."""
    height, width = image.shape[:2]
    y = torch.arange(height, device=image.device).float()[:, None].expand(height, width)
    x = torch.arange(width, device=image.device).float().expand(height, width)
    place = torch.stack([x, y], 2) / sxy
    return torch.cat([place, image.float() / srgb], 2).flatten(0, 1)


class GaussianFilter:
    """Filters pixel rows by exp(-distance^2 / (2 sxy^2)), divided on both sides by the root of the kernel's sum.

    Args:
        size: Height and width of the image.
        sxy: In pixels; the kernel ends after 3 of them.
        gain: What comes out is multiplied by it.
        device: Where the rows are.
    """

    def __init__(self, size: Sequence[int], sxy: float, gain: float, device: torch.device) -> None:
        self.radius, self.size = math.ceil(3 * sxy), tuple(size)
        steps = torch.arange(-self.radius, self.radius + 1, device=device)
        self.kernel = torch.exp(-0.5 * (steps / sxy) ** 2)
        self.before = self._filter(torch.ones(math.prod(self.size), 1, device=device)).rsqrt_()
        self.after = self.before * gain

    def __call__(self, rows: Tensor, onto: Tensor) -> Tensor:
        """``onto`` and the filtered rows added up, (H W, C), for float32 rows (H W, C)."""
        return torch.addcmul(onto, self._filter(rows * self.before), self.after)

    def _filter(self, rows: Tensor) -> Tensor:
        channels = rows.shape[1]
        planes = rows.view(1, *self.size, channels).permute(0, 3, 1, 2)  # channels last in memory
        down = self.kernel.view(1, 1, -1, 1).expand(channels, -1, -1, -1)
        across = self.kernel.view(1, 1, 1, -1).expand(channels, -1, -1, -1)
        planes = F.conv2d(planes, down, padding=(self.radius, 0), groups=channels)
        planes = F.conv2d(planes, across, padding=(0, self.radius), groups=channels)
        return planes.permute(0, 2, 3, 1).reshape(-1, channels)
