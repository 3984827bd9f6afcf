"""Compute intervals by the name of their method, beside the tables' own estimator (docs/concepts/statistics.md).

Each method takes what the tables' estimator takes: the change of each seed, on the images, on resamples of them, and
without each image. A seed and an image are clusters of pixels: neither is divided.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.report.tables.counts import Values

DEFAULT = "behrens-fisher"
LABELS = {
    DEFAULT: "Behrens and Fisher",
    "percentile": "percentile cluster bootstrap",
    "bca": "BCa cluster bootstrap",
    "satterthwaite": "Satterthwaite",
    "mixed-model": "mixed model",
}
BLOCKS = 40  # groups of images in a mixed model
RESAMPLES = 2000  # of seeds, where there are no images
Ends = tuple[float, float]


@dataclass(frozen=True)
class Changes:
    """A difference between rows, as its images and seeds give it.

    Attributes:
        values: Of each seed, (seeds,).
        resampled: On images drawn with replacement, (seeds, resamples); None where images are not known.
        left_out: Without each image, (seeds, images); None where images are not known.
        seeds_variance: Variance of the mean that the seeds cause.
        images_variance: Variance of the mean that the images cause.
        images: How many; 0 where they are not known.
    """

    values: Values
    resampled: Values | None
    left_out: Values | None
    seeds_variance: float
    images_variance: float
    images: int


def check_interval(name: str) -> str:
    """Return the name of a method.

    Raises:
        UserError: There is no such method, or its package is not installed.
    """
    if name not in LABELS:
        raise UserError(f"interval is {name!r}: give one of {', '.join(LABELS)}")
    if name == "mixed-model":
        try:
            import statsmodels  # noqa: F401
        except ImportError:
            raise UserError('interval mixed-model needs statsmodels: pip install "dupl-lab[mixed]"') from None
    return name


def interval_by(name: str, changes: Changes, level: float) -> Ends | None:
    """Return the ends of an interval by a method other than the default.

    Args:
        name: One of `LABELS`.
        changes: The differences.
        level: Of the interval.

    Returns:
        None where the method cannot tell: a mixed model without two seeds or without images.
    """
    return METHODS[name](changes, level)


def percentile(changes: Changes, level: float) -> Ends:
    """Percentiles of a bootstrap that draws seeds, then images (Davison and Hinkley 1997, ch. 3.8 and 5.3)."""
    alpha = (1 - level) / 2
    low, high = np.quantile(bootstrap(changes), [alpha, 1 - alpha])
    return float(low), float(high)


def bca(changes: Changes, level: float) -> Ends:
    """Percentiles corrected for bias and acceleration (Efron 1987), of the same bootstrap.

    The acceleration is that of two samples, seeds and images (Davison and Hinkley 1997, ch. 5.3).
    """
    from scipy import special

    drawn, value = bootstrap(changes), float(changes.values.mean())
    below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
    if not 0 < below < 1:  # every draw lies on one side: the correction is infinite
        return percentile(changes, level)
    bias, acceleration = float(special.ndtri(below)), acceleration_of(changes)
    ends = bias + special.ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(drawn, special.ndtr(bias + ends / (1 - acceleration * ends)))
    return float(low), float(high)


def satterthwaite(changes: Changes, level: float) -> Ends | None:
    """Student's t of the summed variances, with the degrees of freedom of Satterthwaite (1946)."""
    from scipy import special

    parts = [(changes.seeds_variance, len(changes.values) - 1), (changes.images_variance, changes.images - 1)]
    parts = [(variance, df) for variance, df in parts if variance > 0 and df > 0]
    value, total = float(changes.values.mean()), sum(variance for variance, _ in parts)
    if not parts:
        return None
    df = total**2 / sum(variance**2 / df for variance, df in parts)
    half = -float(special.stdtrit(df, (1 - level) / 2)) * total**0.5
    return value - half, value + half


def mixed_model(changes: Changes, level: float) -> Ends | None:
    """Wald's interval of a linear mixed model by REML, with crossed random effects of seeds and of groups of images.

    The data are jackknife pseudo-values: the mean over a group of images of n * value - (n - 1) * value without the
    image (Miller 1974; Baayen, Davidson and Bates 2008 for the crossed effects). The normal quantile knows nothing of
    how few the seeds are.
    """
    from scipy import special
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    if changes.left_out is None or len(changes.values) < 2 or changes.images < 2:
        return None
    data = pseudo_values(changes)
    seeds, groups = data.shape
    seed, group = np.repeat(np.eye(seeds), groups, 0), np.tile(np.eye(groups), (seeds, 1))
    names = [[[str(k) for k in range(seeds)]], [[str(k) for k in range(groups)]]]
    effects = VCSpec(["seed", "images"], names, [[seed], [group]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a variance is at its limit, 0
        model = MixedLM(data.ravel(), np.ones((data.size, 1)), np.ones(data.size, int), exog_vc=effects)
        fitted = model.fit(reml=True)
    half = float(special.ndtri((1 + level) / 2)) * float(fitted.bse_fe[0])
    return float(fitted.fe_params[0]) - half, float(fitted.fe_params[0]) + half


def bootstrap(changes: Changes) -> Values:
    """Return mean changes over drawn seeds and drawn images, (resamples,); the draws have a fixed seed."""
    seeds = len(changes.values)
    drawn = changes.resampled
    if drawn is None:
        drawn = np.repeat(changes.values[:, None], RESAMPLES, 1)
    chosen = np.random.default_rng(0).integers(0, seeds, drawn.shape)
    means: Values = np.take_along_axis(drawn, chosen, 0).mean(0)
    return means


def acceleration_of(changes: Changes) -> float:
    """Return the acceleration of a mean over seeds and images, by the influence of each seed and each image."""
    samples = []
    if len(changes.values) > 1:
        samples.append(changes.values - changes.values.mean())
    if changes.left_out is not None:
        left = changes.left_out.mean(0)
        samples.append((len(left) - 1) * (left.mean() - left))
    cubes = sum(float((one**3).sum()) / len(one) ** 3 for one in samples)
    squares = sum(float((one**2).sum()) / len(one) ** 2 for one in samples)
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


def pseudo_values(changes: Changes) -> Values:
    """Return jackknife pseudo-values of each seed, the mean over each of at most `BLOCKS` groups of images."""
    left = changes.left_out
    assert left is not None
    count = left.shape[1]
    single = count * changes.values[:, None] - (count - 1) * left
    order = np.random.default_rng(0).permutation(count)
    parts = np.array_split(order, min(BLOCKS, count))
    return np.stack([single[:, part].mean(1) for part in parts], 1)


METHODS: dict[str, Callable[[Changes, float], Ends | None]] = {
    "percentile": percentile,
    "bca": bca,
    "satterthwaite": satterthwaite,
    "mixed-model": mixed_model,
}
