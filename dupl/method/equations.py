r"""Equations 1 to 9 of the paper as pure functions, in its order.

    X   image (B, 3, H, W)              psi   sub-net (student)          c   class
    F   feature map (B, D, h, w)        W     classifier weight (K, D)   K   foreground classes
    M   class activation maps in [0,1]  Y     pseudo-label, 255 = none   P   segmentation: class probabilities
    f   features of one student         tau   thresholds on M            t,T iteration, iterations
    l   cross-entropy of one pixel      mu_c, mu_n, var_c, var_n, w_c, w_n   clean and noisy component
    rho_n  posterior of noise           gamma its threshold              eta  least distance of the means
    phi  strong augmentation            lambda_1, lambda_2, lambda_3     weights of L_dis, L_seg, L_reg

Functions take the logarithm ``log_P`` of P, (B, K + 1, H, W), or logits where they say so. Labels are class indices
with 0 = background. Every mean over a set of pixels is 0, not NaN, where the set is empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.structures import IGNORE, Clock


def class_evidence(features: Tensor, weight: Tensor) -> Tensor:
    """Compute the sum inside Eq. 1: sum_i W_{c,i} F_i.

    Args:
        features: F, (B, D, h, w).
        weight: W, (K, D).

    Returns:
        (B, K, h, w), unbounded.
    """
    return F.conv2d(features, weight[:, :, None, None])


def cam(features: Tensor, weight: Tensor) -> Tensor:
    """Compute Eq. 1, M(c) = ReLU(sum_i W_{c,i} F_i), (B, K, h, w), before normalisation."""
    return class_evidence(features, weight).relu()


def max_min_norm(maps: Tensor, eps: float = 1e-5) -> Tensor:
    """Normalise each map by its minimum and maximum (Sec. 3.1): (M - min) / (max - min + eps), in [0, 1).

    Args:
        maps: (..., H, W).
        eps: Keeps a constant map at 0. Released code: 1e-5.
    """
    maps = maps - maps.amin((-2, -1), keepdim=True)
    return maps / (maps.amax((-2, -1), keepdim=True) + eps)


def discrepancy(f_1: Tensor, f_2: Tensor, eps: float = 1e-6) -> Tensor:
    """Compute Eq. 2, D(f_1, f_2) = -log(1 - cos(f_1, f_2)), over the last axis.

    Differs from the paper: ``eps`` is added to 1 - cos, which is 0 while the features of the two students are equal.

    Args:
        f_1: Features, (..., N).
        f_2: Features, (..., N).
        eps: Bounds the value from above by -log(eps).

    Returns:
        (...), in [-log 2, -log eps].
    """
    return -torch.log(1 - F.cosine_similarity(f_1, f_2, dim=-1).clamp(-1, 1) + eps)


def discrepancy_one_plus(f_1: Tensor, f_2: Tensor) -> Tensor:
    """Compute 1 + cos(f_1, f_2) over the last axis, in [0, 2], as the released code does instead of Eq. 2."""
    return 1 + F.cosine_similarity(f_1, f_2, dim=-1, eps=1e-6)


def discrepancy_positive(f_1: Tensor, f_2: Tensor) -> Tensor:
    """Compute max(0, cos(f_1, f_2)) over the last axis: no gradient once the features are orthogonal."""
    return F.cosine_similarity(f_1, f_2, dim=-1, eps=1e-6).relu()


def discrepancy_squared(f_1: Tensor, f_2: Tensor) -> Tensor:
    """Compute cos(f_1, f_2)^2 over the last axis, lowest where the features are orthogonal."""
    return F.cosine_similarity(f_1, f_2, dim=-1, eps=1e-6).square()


def symmetric(one_way: Callable[[Tensor, Tensor], Tensor], f_1: Tensor, f_2: Tensor) -> Tensor:
    """Compute Eq. 3, L_dis = D(f_1, sg(f_2)) + D(f_2, sg(f_1)), averaged over all axes but the last.

    Args:
        one_way: D, any form of Eq. 2.
        f_1: Features of student 1, (..., N).
        f_2: Features of student 2, (..., N).
    """
    return (one_way(f_1, f_2.detach()) + one_way(f_2, f_1.detach())).mean()


def cross_entropy(log_P: Tensor, Y: Tensor) -> Tensor:
    """Compute CE of Eq. 4, the mean over the labelled pixels; 0 if there is none.

    Args:
        log_P: Log-probabilities, (B, K + 1, H, W).
        Y: Labels, int64 (B, H, W), 255 = none.
    """
    pixels = F.nll_loss(log_P, Y, ignore_index=IGNORE, reduction="sum")
    return pixels / (Y != IGNORE).sum().clamp(min=1)


def balanced_cross_entropy(log_P: Tensor, Y: Tensor) -> Tensor:
    """Compute half the mean over background pixels plus half the mean over foreground pixels.

    Released code: instead of CE in Eq. 4.

    Args:
        log_P: Log-probabilities, (B, K + 1, H, W).
        Y: Labels, int64 (B, H, W), 255 = none.
    """
    pixels = F.nll_loss(log_P, Y, ignore_index=IGNORE, reduction="none")
    return 0.5 * (masked_mean(pixels, Y == 0) + masked_mean(pixels, (Y != 0) & (Y != IGNORE)))


def collision_cross_entropy(log_P: Tensor, y: Tensor, balanced: bool = True) -> Tensor:
    """Compute the mean of -ln(sum_c y_c P_c): the probability that label and prediction name the same class.

    A uniform label says nothing and gives no gradient, unlike in the cross-entropy of soft labels.

    Source: Zhang et al., *Collision Cross-entropy for Soft Class Labels and Deep Clustering*, 2023.

    Args:
        log_P: Log-probabilities, (B, K + 1, H, W).
        y: Distributions over the classes, of the same shape; 0 for all classes where a pixel has no label.
        balanced: Whether background and foreground weigh half each, every pixel by its share of both.

    Returns:
        A scalar; 0 if no pixel has a label.
    """
    there = y.sum(1, keepdim=True) > 0
    pixels = -(log_P + torch.where(there, y, 1.0).log()).logsumexp(1) * there[:, 0]
    if not balanced:
        return masked_mean(pixels, there[:, 0])
    background = y[:, 0]
    return 0.5 * (weighted_mean(pixels, background) + weighted_mean(pixels, y[:, 1:].sum(1)))


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of the values by weights of the same shape; 0 where the weights are."""
    return (values * weights).sum() / weights.sum().clamp(min=1e-6)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the values in the mask, of the same shape; 0 if the mask is empty."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def tau_h(clock: Clock, start: float, end: float) -> float:
    """Compute the high threshold of Eq. 5: a cosine from ``start`` to ``end`` over the run.

    Args:
        clock: t and T; after T the threshold stays at ``end``.
        start: tau_h(0).
        end: tau_h(T).
    """
    progress = min(max(clock.t / clock.T, 0.0), 1.0)
    return start - 0.5 * (start - end) * (1 - math.cos(progress * math.pi))


def noise_log_odds(loss: Tensor, weight: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Compute log(rho_n / (1 - rho_n)), rho_n the posterior of noise in Eq. 6: a quadratic in the loss of each pixel.

    Args:
        loss: l, (B, N).
        weight: (w_c, w_n), (B, 2), summing to 1.
        mean: (mu_c, mu_n), (B, 2).
        variance: (sigma_c^2, sigma_n^2), (B, 2), positive.

    Returns:
        (B, N); its sigmoid is rho_n.
    """
    precision = 1 / variance
    log_scale = weight.log() - 0.5 * variance.log() - 0.5 * precision * mean**2  # log w N(l) at l = 0, without 2 pi
    square = 0.5 * (precision[:, 0] - precision[:, 1])
    linear = (precision * mean)[:, 1] - (precision * mean)[:, 0]
    constant = log_scale[:, 1] - log_scale[:, 0]
    return (square[:, None] * loss + linear[:, None]) * loss + constant[:, None]


def noisy_pixels(log_odds: Tensor, mean: Tensor, gamma: float, eta: float) -> Tensor:
    """Return the noisy pixels of Eq. 7, X_n = {x | rho_n(l^x) > gamma, mu_n - mu_c > eta}.

    Differs from the paper: Eq. 7 prints mu_c - mu_n; its text, and its meaning, is mu_n - mu_c.

    Args:
        log_odds: Result of ``noise_log_odds``, (B, N).
        mean: (mu_c, mu_n), (B, 2).
        gamma: In (0, 1).
        eta: At least 0, in units of loss.

    Returns:
        Bool (B, N).
    """
    apart = mean[:, 1] - mean[:, 0] > eta
    return (log_odds > math.log(gamma / (1 - gamma))) & apart[:, None]


def consistency(strong_logits: Tensor, Y: Tensor, mask: Tensor) -> Tensor:
    """Compute Eq. 8, L_reg_i = 1 / |M_i| sum_x CE[P~_i(phi(x)), phi'(Y_i(x))] M_i, in the coordinates of the weak view.

    Args:
        strong_logits: Logits of P~_i on phi(X), after the inverse of phi's geometry, (B, K + 1, H, W).
        Y: Labels, int64 (B, H, W), 255 = none.
        mask: M_i, bool (B, H, W).

    Returns:
        The mean over the masked pixels that have a label; 0 if there is none.
    """
    pixels = F.cross_entropy(strong_logits, Y.masked_fill(~mask, IGNORE), ignore_index=IGNORE, reduction="sum")
    return pixels / (mask & (Y != IGNORE)).sum().clamp(min=1)


def total(terms: Mapping[str, Tensor | None], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Compute Eq. 9, L = L_cls + lambda_1 L_dis + lambda_2 L_seg + lambda_3 L_reg, plus the further weighted terms.

    Args:
        terms: L_cls and the other terms, each a scalar; None for a term that the method does not have.
        weights: Weight of each term but L_cls, whose weight is 1, by its name without "L_".

    Returns:
        ``{"loss": L, "L_cls": ..., ...}``: "loss" is the value to minimise, the terms are detached.
    """
    there = {name: term for name, term in terms.items() if term is not None}
    value = there["L_cls"]
    for name, weight in weights.items():
        if f"L_{name}" in there:
            value = value + weight * there[f"L_{name}"]
    return {"loss": value, **{name: term.detach() for name, term in there.items()}}
