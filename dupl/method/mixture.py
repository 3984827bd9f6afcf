"""Two-component Gaussian mixtures of the losses of one batch, all images at once (Eq. 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """Two Gaussians for each of B images, the clean one first.

    Attributes:
        weight: (w_c, w_n), float64 (B, 2), summing to 1.
        mean: (mu_c, mu_n), float64 (B, 2), ascending.
        variance: (sigma_c^2, sigma_n^2), float64 (B, 2).
        fitted: Whether the image had enough losses to fit, bool (B,).
    """

    weight: Tensor
    mean: Tensor
    variance: Tensor
    fitted: Tensor


@dataclass(frozen=True)
class _Histogram:
    """Histograms of the losses of B images, with even bins between the extremes of each image.

    Attributes:
        count: Losses in each bin, float64 (B, bins).
        moments: 1, the loss at the centre of the bin and its square, float64 (B, bins, 3).
        low: Centre of the first bin, float64 (B, 1).
        width: Distance between two centres, float64 (B, 1).
    """

    count: Tensor
    moments: Tensor
    low: Tensor
    width: Tensor

    @classmethod
    def of(cls, values: Tensor, chosen: Tensor, bins: int) -> _Histogram:
        """Count the chosen ones, bool (B, N), of values (B, N), without waiting for the device."""
        batch = len(values)
        low = torch.where(chosen, values, torch.inf).amin(1, keepdim=True)
        high = torch.where(chosen, values, -torch.inf).amax(1, keepdim=True)
        low, high = (torch.where(high >= low, x, 0) for x in (low, high))  # where nothing is chosen
        width = (high - low).clamp(min=1e-12) / (bins - 1)
        index = ((values - low) / width).add_(0.5).clamp_(0, bins - 1).long()
        index += torch.arange(batch, device=values.device)[:, None] * bins
        index = torch.where(chosen, index, batch * bins)  # one more bin for what is not chosen
        ones = torch.ones((), dtype=torch.int32, device=values.device).expand(index.numel())
        count = torch.zeros(batch * bins + 1, dtype=torch.int32, device=values.device).index_add_(
            0, index.flatten(), ones
        )
        low, width = low.double(), width.double()
        centre = low + torch.arange(bins, device=values.device) * width
        moments = torch.stack([torch.ones_like(centre), centre, centre**2], 2)
        return cls(count[:-1].view(batch, bins).double(), moments, low, width)


# The first three draws of scikit-learn's k-means with random_state=0, which do not depend on the data.
DRAWS = tuple(np.random.RandomState(0).random_sample(3).tolist())
LLOYD_DOUBLINGS = 8  # doublings of the path of Lloyd's algorithm: 2^8 = 256 steps


def _kmeans(losses: Tensor, chosen: Tensor, h: _Histogram) -> Tensor:
    """Cluster losses by k-means with k = 2, as scikit-learn initialises its mixture.

    Seeded k-means++ on the pixels in their order (a first pixel, then the better of two candidates drawn in proportion
    to squared distance), then Lloyd's steps on the histogram. There, two clusters are separated by a cut: the index of
    the first bin above the middle between their centres. The result may be a local optimum, as is that of
    scikit-learn; the masks of the released code depend on it.

    Args:
        losses: (B, N).
        chosen: Which of them to cluster, bool (B, N).
        h: Their histogram.

    Returns:
        Whether each bin belongs to the second cluster, 0 or 1, float64 (B, bins).
    """
    bins = h.count.shape[1]
    upto = F.pad((h.count[..., None] * h.moments).cumsum(1), (0, 0, 1, 0))  # (B, bins + 1, 3): sums over the bins below
    whole = upto[:, -1:]

    def cut(one: Tensor, other: Tensor) -> Tensor:
        """Count the bins below the middle between two values, each (B, n); int64 (B, n)."""
        return ((one + other) / 2 - h.low).div(h.width).ceil().clamp(0, bins).long()

    nth = (DRAWS[0] * chosen.sum(1, keepdim=True)).long() + 1
    last = losses.shape[1] - 1
    start = losses.gather(1, torch.searchsorted(chosen.cumsum(1), nth).clamp(max=last))
    reach = torch.where(chosen, (losses - start) ** 2, 0).cumsum(1, dtype=torch.float64)
    drawn = torch.searchsorted(reach, reach[:, -1:] * reach.new_tensor(DRAWS[1:])).clamp(max=last)
    first, rivals = start.double(), losses.gather(1, drawn).double()  # (B, 1), (B, 2)
    near, far = torch.minimum(first, rivals), torch.maximum(first, rivals)
    left = upto.gather(1, cut(near, far)[..., None].expand(-1, -1, 3))
    sides = ((near, left.unbind(2)), (far, (whole - left).unbind(2)))
    potential = torch.stack([n * c * c - 2 * c * t + q for c, (n, t, q) in sides]).sum(0)
    second = rivals.gather(1, (potential[:, 1:] < potential[:, :1]).long())

    # The next cut after every possible cut: it lies between the centres of the two sides. All are computed at once, and
    # the path from the first cut is followed by doubling, so that no step waits for the one before.
    (n, t, _), (m, u, _) = upto.unbind(2), (whole - upto).unbind(2)
    low, high = t / n.clamp(min=1e-12), u / m.clamp(min=1e-12)  # (B, bins + 1)
    onward = cut(low, high)
    size = whole[..., 0].clamp(min=1)
    tolerance = 1e-4 * (whole[..., 2] / size - (whole[..., 1] / size) ** 2).clamp(min=0)
    moved = (low.gather(1, onward) - low) ** 2 + (high.gather(1, onward) - high) ** 2
    path = torch.where(moved > tolerance, onward, torch.arange(bins + 1, device=losses.device))
    for _ in range(LLOYD_DOUBLINGS):
        path = path.gather(1, path)
    begin = cut(first, second)
    near, far = torch.minimum(first, second), torch.maximum(first, second)
    still = (low.gather(1, begin) - near) ** 2 + (high.gather(1, begin) - far) ** 2 <= tolerance
    end = onward.gather(1, torch.where(still, begin, onward.gather(1, path.gather(1, begin))))
    above = torch.arange(bins, device=losses.device) >= end
    return (above == (second >= first)).double()


def fit_mixture(
    losses: Tensor, chosen: Tensor, *, min_pixels: int, bins: int, max_iter: int, tol: float, reg_covar: float
) -> Mixture:
    """Fit a two-component 1-D Gaussian mixture to the losses of each image by expectation maximisation (Eq. 6).

    The steps are those of scikit-learn's ``GaussianMixture(random_state=0)``: its seeded k-means initialisation,
    ``reg_covar`` on each variance, a stop when the mean log-likelihood changes by less than ``tol``. They run on a
    histogram.

    Args:
        losses: (B, N), at least 0; values that are not finite are left out.
        chosen: Which of them to fit, bool (B, N).
        min_pixels: An image is fitted if it has more chosen losses than this.
        bins: Bins of the histogram between the smallest and the largest chosen loss of an image.
        max_iter: Largest number of EM steps.
        tol: Change of the mean log-likelihood below which EM stops.
        reg_covar: Added to each variance.

    Returns:
        The mixtures; where ``fitted`` is False the numbers are finite but without meaning.
    """
    finite = losses.isfinite()  # training stops for the others elsewhere; they have no bin
    losses, chosen = torch.where(finite, losses, 0), chosen & finite
    h = _Histogram.of(losses, chosen, bins)
    size = h.count.sum(1)
    share = (h.count / size[:, None].clamp(min=1))[:, None]
    second = _kmeans(losses, chosen, h)
    weight, mean, variance = _maximise(h, torch.stack([1 - second, second], 1), reg_covar)
    going = torch.ones_like(size, dtype=torch.bool)
    previous = torch.full_like(size, -torch.inf)
    for _ in range(max_iter):
        joint = (h.moments @ _log_density(weight, mean, variance)).transpose(1, 2)  # (B, 2, bins)
        evidence = torch.logaddexp(joint[:, :1], joint[:, 1:])
        likelihood = (evidence @ share.transpose(1, 2))[:, 0, 0]
        updated = _maximise(h, (joint - evidence).exp_(), reg_covar)
        weight, mean, variance = (
            torch.where(going[:, None], new, old) for new, old in zip(updated, (weight, mean, variance), strict=True)
        )
        going = going & ((likelihood - previous).abs() >= tol)
        previous = likelihood
        if not losses.is_cuda and not going.any():
            break
    order = mean.argsort(1)
    weight, mean, variance = (x.gather(1, order) for x in (weight, mean, variance))
    spread = (h.count > 0).sum(1) > 1  # identical losses have no second component
    return Mixture(weight, mean, variance, (size > max(min_pixels, 1)) & spread)


def _log_density(weight: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Return log w N(l; mean, variance) as coefficients of 1, l and l^2, (B, 3, 2); arguments (B, 2)."""
    constant = weight.log() - 0.5 * (2 * torch.pi * variance).log() - 0.5 * mean**2 / variance
    return torch.stack([constant, mean / variance, -0.5 / variance], 1)


def _maximise(h: _Histogram, responsibility: Tensor, reg_covar: float) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the M step: weight, mean and variance, each (B, 2), from responsibilities (B, 2, bins)."""
    tiny = 10 * torch.finfo(torch.float64).eps
    n, total, square = ((responsibility * h.count[:, None]) @ h.moments).unbind(2)
    n = n + tiny
    mean = total / n
    return n / n.sum(1, keepdim=True), mean, (square / n - mean**2).clamp(min=0) + reg_covar
