"""[ANF] Finds pseudo-labels that are noise from the losses they cause (Eq. 6-7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.method import equations
from dupl.method.component import Component
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
    """Sufficient statistics of each bin, float64 (B, bins): count, sum, sum of squares, mean."""

    count: Tensor
    total: Tensor
    square: Tensor
    centre: Tensor


def _histogram(values: Tensor, chosen: Tensor, bins: int) -> _Histogram:
    """Values (B, N) where chosen (B, N), binned evenly between each image's extremes; no host sync."""
    batch = len(values)
    low = values.masked_fill(~chosen, torch.inf).amin(1, keepdim=True)
    high = values.masked_fill(~chosen, -torch.inf).amax(1, keepdim=True)
    width = (high - low).clamp(min=1e-12)
    index = ((values - low) / width * bins).clamp(0, bins - 1).nan_to_num(0).long()
    index = index + torch.arange(batch, device=values.device)[:, None] * bins
    kept = torch.where(chosen, values, 0).double()
    flat = index.flatten()

    def add(weights: Tensor) -> Tensor:
        return torch.zeros(batch * bins, dtype=torch.float64, device=values.device).index_add_(0, flat, weights)

    count = add(chosen.double().flatten()).view(batch, bins)
    total = add(kept.flatten()).view(batch, bins)
    square = add((kept * kept).flatten()).view(batch, bins)
    return _Histogram(count, total, square, total / count.clamp(min=1))


# The first three draws of scikit-learn's k-means with random_state=0, the same whatever the data.
DRAWS = tuple(np.random.RandomState(0).random_sample(3).tolist())
LLOYD_STEPS = 100


def _kmeans(losses: Tensor, chosen: Tensor, h: _Histogram) -> Tensor:
    """k-means with k = 2 as scikit-learn starts its mixture: membership of the second cluster, (B, bins).

    Seeded k-means++ on the pixels in their order (a first pixel, then the better of two candidates drawn in proportion
    to squared distance), then Lloyd's steps on the bins. It may end in a local optimum, and scikit-learn's mixture
    with it: the released masks depend on that.

    Args:
        losses: (B, N), float64.
        chosen: Bool (B, N).
        h: Their histogram.
    """
    size = chosen.sum(1, keepdim=True)
    nth = (DRAWS[0] * size).long() + 1
    first = losses.gather(1, torch.searchsorted(chosen.cumsum(1), nth).clamp(max=losses.shape[1] - 1))
    distance = torch.where(chosen, (losses - first) ** 2, 0)
    reach = distance.cumsum(1)
    drawn = torch.searchsorted(reach, reach[:, -1:] * reach.new_tensor(DRAWS[1:])).clamp(max=losses.shape[1] - 1)
    candidates = losses.gather(1, drawn)  # (B, 2)
    potential = [
        torch.where(chosen, torch.minimum(distance, (losses - c[:, None]) ** 2), 0).sum(1) for c in candidates.T
    ]
    second = torch.where(potential[1] < potential[0], candidates[:, 1], candidates[:, 0])
    centres = torch.stack([first[:, 0], second], 1)

    n = h.count.sum(1).clamp(min=1)
    tolerance = 1e-4 * (h.square.sum(1) / n - (h.total.sum(1) / n) ** 2).clamp(min=0)
    member = torch.zeros_like(h.count, dtype=torch.bool)
    going = torch.ones_like(n, dtype=torch.bool)
    for step in range(LLOYD_STEPS):
        nearer = (h.centre - centres[:, 1:]).abs() < (h.centre - centres[:, :1]).abs()
        still = (nearer == member).all(1) if step else torch.zeros_like(going)
        member = torch.where(going[:, None], nearer, member)
        parts = torch.stack([~member, member], 1) * h.count[:, None]
        moved = (parts * h.centre[:, None]).sum(2) / parts.sum(2).clamp(min=1e-12)
        shift = ((moved - centres) ** 2).sum(1)
        centres = torch.where(going[:, None], moved, centres)
        going = going & ~still & (shift > tolerance)
        if not losses.is_cuda and not going.any():  # a GPU would have to wait for the answer
            break
    return ((h.centre - centres[:, 1:]).abs() < (h.centre - centres[:, :1]).abs()).double()


def fit_mixture(
    losses: Tensor, chosen: Tensor, *, min_pixels: int, bins: int, max_iter: int, tol: float, reg_covar: float
) -> Mixture:
    """Two-component 1-D Gaussian mixtures by expectation maximisation, all images at once (Eq. 6).

    The steps are those of scikit-learn's ``GaussianMixture(random_state=0)``: its seeded k-means start, ``reg_covar``
    on each variance, a stop when the mean log-likelihood moves by less than ``tol``. They run on a histogram whose bins
    carry their exact first two moments.

    Args:
        losses: (B, N), at least 0.
        chosen: Which of them to fit, bool (B, N).
        min_pixels: An image needs more than this many chosen losses.
        bins: Of the histogram between an image's smallest and largest chosen loss.
        max_iter: Most steps of EM.
        tol: Least gain of the mean log-likelihood to go on.
        reg_covar: Added to each variance.

    Returns:
        The mixtures; where ``fitted`` is False the numbers mean nothing but are finite.
    """
    losses = losses.double()
    h = _histogram(losses, chosen, bins)
    size = h.count.sum(1)
    second = _kmeans(losses, chosen, h)
    responsibility = torch.stack([1 - second, second], 1)  # (B, 2, bins)
    state = _maximise(h, responsibility, reg_covar)
    going = torch.ones_like(size, dtype=torch.bool)
    previous = torch.full_like(size, -torch.inf)
    for _ in range(max_iter):
        weight, mean, variance = state
        joint = (
            weight.log()[..., None]
            - 0.5 * (torch.log(2 * torch.pi * variance)[..., None])
            - 0.5 * (h.centre[:, None] - mean[..., None]) ** 2 / variance[..., None]
        )  # (B, 2, bins)
        evidence = joint.logsumexp(1)
        likelihood = (evidence * h.count).sum(1) / size.clamp(min=1)
        updated = _maximise(h, (joint - evidence[:, None]).exp(), reg_covar)
        weight, mean, variance = (
            torch.where(going[:, None], new, old) for new, old in zip(updated, state, strict=True)
        )
        state = weight, mean, variance
        going = going & ((likelihood - previous).abs() >= tol)
        previous = likelihood
    weight, mean, variance = state
    order = mean.argsort(1)
    weight, mean, variance = (x.gather(1, order) for x in (weight, mean, variance))
    spread = (h.count > 0).sum(1) > 1  # identical losses have no second component
    return Mixture(weight, mean, variance, (size > max(min_pixels, 1)) & spread)


def _maximise(h: _Histogram, responsibility: Tensor, reg_covar: float) -> tuple[Tensor, Tensor, Tensor]:
    """The M step: weight, mean and variance, each (B, 2), from responsibilities (B, 2, bins)."""
    tiny = 10 * torch.finfo(torch.float64).eps
    n = (responsibility * h.count[:, None]).sum(2) + tiny
    mean = (responsibility * h.total[:, None]).sum(2) / n
    square = (responsibility * h.square[:, None]).sum(2) / n
    return n / n.sum(1, keepdim=True), mean, (square - mean**2).clamp(min=0) + reg_covar


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
        gamma: float = 0.9,
        eta: float = 1.0,
        start: int = 8000,
        fit_on: str = "all",
        min_loss: float = 0.1,
        min_pixels: int = 1000,
        bins: int = 8192,
        max_iter: int = 10,
        tol: float = 1e-2,
        reg_covar: float = 5e-4,
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
            P: A student's logits or log-probabilities, (B, K + 1, H, W).
            Y: Its **own** pseudo-label, int64 (B, H, W).
            clock: t and T; nothing is noise before ``start``.

        Returns:
            Bool (B, H, W), True only where Y has a label.
        """
        if not self.active(clock):
            return torch.zeros_like(Y, dtype=torch.bool)
        losses = F.nll_loss(P.float().log_softmax(1), Y, ignore_index=IGNORE, reduction="none").flatten(1)
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
