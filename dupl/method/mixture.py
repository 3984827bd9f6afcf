"""Two-component Gaussian mixtures of the losses of one batch (Eq. 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dupl.method.kmeans import Init, kmeans
from dupl.method.loss_cells import LossCells


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


def fit_mixture(
    losses: Tensor,
    chosen: Tensor,
    *,
    min_pixels: int,
    bins: int | None,
    max_iter: int,
    tol: float,
    reg_covar: float,
    init: Init = "sklearn-1.3",
) -> Mixture:
    """Fit a two-component 1-D Gaussian mixture to the losses of each image by expectation maximisation (Eq. 6).

    The steps are those of scikit-learn's ``GaussianMixture(random_state=0)``: its seeded k-means initialisation,
    ``reg_covar`` on each variance, a stop when the mean log-likelihood changes by less than ``tol``.

    Args:
        losses: (B, N), at least 0; values that are not finite are left out.
        chosen: Which of them to fit, bool (B, N).
        min_pixels: An image is fitted if it has more chosen losses than this.
        bins: Bins of a histogram between the smallest and the largest chosen loss of an image that replaces the losses.
            None: no histogram, every loss counts by itself.
        max_iter: Largest number of EM steps.
        tol: Change of the mean log-likelihood below which EM stops.
        reg_covar: Added to each variance.
        init: The version of scikit-learn whose k-means draws the first centre.

    Returns:
        The mixtures; where ``fitted`` is False the numbers are finite but without meaning.
    """
    chosen = chosen & losses.isfinite()  # training stops for the others elsewhere; they have no cell
    em = dict(max_iter=max_iter, tol=tol, reg_covar=reg_covar)
    enough = chosen.sum(1) > max(min_pixels, 1)
    if bins is None and not losses.is_cuda:  # a GPU would wait for the numbers of chosen losses
        rows = [
            row[which][None] if many else row.new_zeros(1, 1)
            for row, which, many in zip(losses, chosen, enough, strict=True)
        ]
        fits = [_fit(row, torch.ones_like(row, dtype=torch.bool), None, init, em) for row in rows]
        weight, mean, variance, spread = (torch.cat(parts) for parts in zip(*fits, strict=True))
    else:
        weight, mean, variance, spread = _fit(torch.where(chosen, losses, 0), chosen, bins, init, em)
    return Mixture(weight, mean, variance, enough & spread)


def _fit(
    losses: Tensor, chosen: Tensor, bins: int | None, init: Init, em: Mapping[str, Any]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fit all images of a batch at once; return weight, mean and variance, and whether the losses differ."""
    cells = LossCells.exact(losses, chosen) if bins is None else LossCells.histogram(losses, chosen, bins)
    second = kmeans(losses, chosen, cells, init)
    weight, mean, variance = _expect_and_maximise(cells, second, **em)
    order = mean.argsort(1)
    weight, mean, variance = (x.gather(1, order) for x in (weight, mean, variance))
    loss = cells.moments[..., 1]
    spread = (loss.amax(1) > loss.amin(1)) if bins is None else (cells.count > 0).sum(1) > 1
    return weight, mean, variance, spread  # identical losses have no second component


def _expect_and_maximise(
    cells: LossCells, second: Tensor, max_iter: int, tol: float, reg_covar: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Run expectation maximisation from two clusters; weight, mean and variance, each (B, 2)."""
    size = cells.count.sum(1)
    share = (cells.count / size[:, None].clamp(min=1))[:, None]
    weight, mean, variance = _maximise(cells, torch.stack([1 - second, second], 1), reg_covar)
    going = torch.ones_like(size, dtype=torch.bool)
    previous = torch.full_like(size, -torch.inf)
    for _ in range(max_iter):
        joint = (cells.moments @ _log_density(weight, mean, variance)).transpose(1, 2)  # (B, 2, C)
        evidence = torch.logaddexp(joint[:, :1], joint[:, 1:])
        likelihood = (evidence @ share.transpose(1, 2))[:, 0, 0]
        updated = _maximise(cells, (joint - evidence).exp_(), reg_covar)
        weight, mean, variance = (
            torch.where(going[:, None], new, old) for new, old in zip(updated, (weight, mean, variance), strict=True)
        )
        going = going & ((likelihood - previous).abs() >= tol)
        previous = likelihood
        if not size.is_cuda and not going.any():
            break
    return weight, mean, variance


def _log_density(weight: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Return log w N(l; mean, variance) as coefficients of 1, l and l^2, (B, 3, 2); arguments (B, 2)."""
    constant = weight.log() - 0.5 * (2 * torch.pi * variance).log() - 0.5 * mean**2 / variance
    return torch.stack([constant, mean / variance, -0.5 / variance], 1)


def _maximise(cells: LossCells, responsibility: Tensor, reg_covar: float) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the M step: weight, mean and variance, each (B, 2), from responsibilities (B, 2, C)."""
    tiny = 10 * torch.finfo(torch.float64).eps
    n, total, square = ((responsibility * cells.count[:, None]) @ cells.moments).unbind(2)
    n = n + tiny
    mean = total / n
    return n / n.sum(1, keepdim=True), mean, (square / n - mean**2).clamp(min=0) + reg_covar
