"""[ANF] Finds pseudo-labels that are noise from the losses they cause (Eq. 6-7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.config.kinds import Count, In, NotNegative, Start
from dupl.method import equations
from dupl.method.base import Component
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock


@dataclass(frozen=True)
class Mixture:
    """Two Gaussians for each of B images, the clean one first.

    Attributes:
        weight: (w_c, w_n), float64 (B, 2).
        mean: (mu_c, mu_n), float64 (B, 2), ascending.
        variance: float64 (B, 2).
        fitted: False where there was too little to fit, bool (B,).
    """

    weight: Tensor
    mean: Tensor
    variance: Tensor
    fitted: Tensor


@dataclass(frozen=True)
class _Histogram:
    """Losses of B images, each counted at the nearest of even steps between its image's extremes.

    Attributes:
        count: Losses at each step, float64 (B, bins).
        moments: 1, the step's loss and its square, float64 (B, bins, 3).
        low: Loss of the first step, float64 (B, 1).
        width: Between two steps, float64 (B, 1).
    """

    count: Tensor
    moments: Tensor
    low: Tensor
    width: Tensor

    @classmethod
    def of(cls, values: Tensor, chosen: Tensor, bins: int) -> _Histogram:
        """From the chosen ones, bool (B, N), of values (B, N); no host sync."""
        batch = len(values)
        low = torch.where(chosen, values, torch.inf).amin(1, keepdim=True)
        high = torch.where(chosen, values, -torch.inf).amax(1, keepdim=True)
        low, high = (torch.where(high >= low, x, 0) for x in (low, high))  # nothing chosen
        width = (high - low).clamp(min=1e-12) / (bins - 1)
        index = ((values - low) / width).add_(0.5).clamp_(0, bins - 1).long()
        index += torch.arange(batch, device=values.device)[:, None] * bins
        index = torch.where(chosen, index, batch * bins)  # one bin more for what is not chosen
        ones = torch.ones((), dtype=torch.int32, device=values.device).expand(index.numel())
        count = torch.zeros(batch * bins + 1, dtype=torch.int32, device=values.device).index_add_(
            0, index.flatten(), ones
        )
        low, width = low.double(), width.double()
        centre = low + torch.arange(bins, device=values.device) * width
        moments = torch.stack([torch.ones_like(centre), centre, centre**2], 2)
        return cls(count[:-1].view(batch, bins).double(), moments, low, width)


# The first three draws of scikit-learn's k-means with random_state=0, the same whatever the data.
DRAWS = tuple(np.random.RandomState(0).random_sample(3).tolist())
LLOYD_DOUBLINGS = 8  # of the path: 256 steps


def _kmeans(losses: Tensor, chosen: Tensor, h: _Histogram) -> Tensor:
    """k-means with k = 2 as scikit-learn starts its mixture: membership of the second cluster, (B, bins).

    Seeded k-means++ on the pixels in their order (a first pixel, then the better of two candidates drawn in proportion
    to squared distance), then Lloyd's steps on the histogram, where a cluster is what lies on one side of the middle
    between the centres, a cut. It may end in a local optimum, and scikit-learn's mixture with it: the released masks
    depend on that.

    Args:
        losses: (B, N).
        chosen: Bool (B, N).
        h: Their histogram.
    """
    bins = h.count.shape[1]
    upto = F.pad((h.count[..., None] * h.moments).cumsum(1), (0, 0, 1, 0))  # (B, bins + 1, 3): of all steps before
    whole = upto[:, -1:]

    def cut(one: Tensor, other: Tensor) -> Tensor:
        """How many steps lie below the middle between two values, int64; (B, n) each."""
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

    # Where each cut leads: to the centres on both of its sides, and so to the next cut. All at once, and the path from
    # the start by doubling: no step waits for the one before.
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
    """Two-component 1-D Gaussian mixtures by expectation maximisation, all images at once (Eq. 6).

    The steps are those of scikit-learn's ``GaussianMixture(random_state=0)``: its seeded k-means start, ``reg_covar``
    on each variance, a stop when the mean log-likelihood moves by less than ``tol``. They run on a histogram.

    Args:
        losses: (B, N), at least 0; what is not finite is left out.
        chosen: Which of them to fit, bool (B, N).
        min_pixels: An image needs more than this many chosen losses.
        bins: Of the histogram between an image's smallest and largest chosen loss.
        max_iter: Most steps of EM.
        tol: Least gain of the mean log-likelihood to go on.
        reg_covar: Added to each variance.

    Returns:
        The mixtures; where ``fitted`` is False the numbers mean nothing but are finite.
    """
    finite = losses.isfinite()  # others are the guard's to tell, and no place in a histogram
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
    """log w N(l; mean, variance) of both components as coefficients of 1, l and l^2, (B, 3, 2); arguments (B, 2)."""
    constant = weight.log() - 0.5 * (2 * torch.pi * variance).log() - 0.5 * mean**2 / variance
    return torch.stack([constant, mean / variance, -0.5 / variance], 1)


def _maximise(h: _Histogram, responsibility: Tensor, reg_covar: float) -> tuple[Tensor, Tensor, Tensor]:
    """The M step: weight, mean and variance, each (B, 2), from responsibilities (B, 2, bins)."""
    tiny = 10 * torch.finfo(torch.float64).eps
    n, total, square = ((responsibility * h.count[:, None]) @ h.moments).unbind(2)
    n = n + tiny
    mean = total / n
    return n / n.sum(1, keepdim=True), mean, (square / n - mean**2).clamp(min=0) + reg_covar


@COMPONENTS.register_module()
class MixtureFilter(Component):
    """Eq. 6-7: labels whose loss belongs to the noisy one of two Gaussians, where the two are apart.

    Args:
        gamma: Posterior of noise above which a pixel is noisy, in (0, 1). Released code: 0.95.
        eta: Least distance of the two means.
        start: First iteration at which it acts.
        fit_on: "all" fits to every labelled pixel and may filter any (paper); "foreground" fits to foreground pixels
            of a loss above ``min_loss`` and never filters background (released code).
        min_loss: With "foreground": losses to fit lie above it.
        min_pixels: An image with fewer to fit is left alone. Released code: 1000, for crops of 448 px.
        bins: Of the loss histogram the mixture is fitted to.
        max_iter: Most steps of EM.
        tol: Least gain of the mean log-likelihood to go on.
        reg_covar: Added to each variance.

    Attributes:
        watch: Called, where set, with each batch's losses (B, N), which of them were fitted (B, N), and the mixture.
    """

    watch: Callable[[Tensor, Tensor, Mixture], None] | None = None

    def __init__(
        self,
        gamma: Annotated[float, In("(0, 1)")] = 0.9,
        eta: NotNegative = 1.0,
        start: Start = 8000,
        fit_on: Literal["all", "foreground"] = "all",
        min_loss: float = 0.1,
        min_pixels: Annotated[int, In("[0, inf)", "px")] = 1000,
        bins: Annotated[int, In("[2, inf)")] = 8192,
        max_iter: Count = 10,
        tol: NotNegative = 1e-2,
        reg_covar: NotNegative = 5e-4,
    ) -> None:
        super().__init__(start)
        if not 0 < gamma < 1:
            raise ValueError(f"noise_filter.gamma is {gamma}: a posterior's threshold lies between 0 and 1")
        if eta < 0:
            raise ValueError(f"noise_filter.eta is {eta}: a distance of means is at least 0")
        if fit_on not in ("all", "foreground"):
            raise ValueError(f'noise_filter.fit_on is {fit_on!r}: choose "all" or "foreground"')
        self.gamma, self.eta, self.fit_on, self.min_loss = gamma, eta, fit_on, min_loss
        self.em = dict(min_pixels=min_pixels, bins=bins, max_iter=max_iter, tol=tol, reg_covar=reg_covar)

    @torch.no_grad()
    def __call__(self, P: Tensor, Y: Tensor, clock: Clock) -> Tensor:
        """Which labels are noise.

        Args:
            P: A student's log-probabilities, (B, K + 1, H, W).
            Y: Its **own** pseudo-label, int64 (B, H, W).
            clock: t and T; nothing is noise before ``start``.

        Returns:
            Bool (B, H, W), True only where Y has a label.
        """
        if not self.active(clock):
            return torch.zeros_like(Y, dtype=torch.bool)
        losses = F.nll_loss(P, Y, ignore_index=IGNORE, reduction="none").flatten(1)
        return self.noisy(losses, Y.flatten(1)).view_as(Y)

    def noisy(self, losses: Tensor, labels: Tensor) -> Tensor:
        """Eq. 7 for losses (B, N) of labels (B, N): bool (B, N)."""
        labelled = labels != IGNORE
        if self.fit_on == "foreground":
            labelled = labelled & (labels != 0)
        chosen = labelled & (losses > self.min_loss) if self.fit_on == "foreground" else labelled
        mixture = fit_mixture(losses, chosen, **self.em)  # type: ignore[arg-type]
        if self.watch is not None:
            self.watch(losses, chosen, mixture)
        log_odds = equations.noise_log_odds(losses.double(), mixture.weight, mixture.mean, mixture.variance)
        noisy = equations.noisy_pixels(log_odds, mixture.mean, self.gamma, self.eta)
        return noisy & labelled & mixture.fitted[:, None]


@COMPONENTS.register_module()
class TrustAll(Component):
    """ANF switched off: nothing is noise."""

    null = True

    def __call__(self, P: Tensor, Y: Tensor, clock: Clock) -> Tensor:
        """All False, bool (B, H, W)."""
        return torch.zeros_like(Y, dtype=torch.bool)
