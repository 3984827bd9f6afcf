"""Means over seeds, and differences between rows with their intervals; docs/statistics.md tells method and coverage.

An interval speaks of other images of the kind, and, with several seeds, of other seeds too. Images are resampled
together for all rows (paired), and a seed of one row is compared with the same seed of another.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dupl.report.tables.counts import Counts, Metric, Values

RESAMPLES = 2000
LEVEL = 0.95
EXACT = 1e-9  # points; less is rounding
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@dataclass(frozen=True)
class Summary:
    """Values over seeds.

    Attributes:
        n: How many.
        mean: Of them.
        std: Sample standard deviation (n - 1); None of one value.
    """

    n: int
    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Collection[float]) -> Summary:
        """Of at least one value."""
        numbers = np.array(list(values), float)
        return cls(len(numbers), float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else None)


@dataclass(frozen=True)
class Draws:
    """One run's metric, of its images and of variations of them.

    Attributes:
        value: Of the images as they are, percent.
        resampled: Of images drawn with replacement, (resamples,).
        left_out: Without each image, (images,).
        images: Names.
    """

    value: float
    resampled: Values
    left_out: Values
    images: tuple[str, ...]

    @classmethod
    def of(cls, counts: Counts, metric: Metric, resamples: int = RESAMPLES, seed: int = 0) -> Draws:
        """Of one evaluation."""
        drawn = counts.resampled(metric, resamples, seed)
        return cls(counts.value(metric), drawn, counts.left_out(metric), counts.images)


@dataclass(frozen=True)
class Estimate:
    """A difference between rows, in points of the metric.

    Attributes:
        value: The difference of the means over the seeds that the rows share.
        low, high: Ends of the interval.
        p: Of no difference, two-sided; below 1 - level where the interval leaves out 0.
        seeds: How many the rows share.
        images: How many the interval counts with; 0 where it is of seeds only.
    """

    value: float
    low: float
    high: float
    p: float
    seeds: int
    images: int

    @property
    def over(self) -> str:
        """What the interval speaks of: "images", "seeds" or "seeds x images"."""
        return " x ".join([*["seeds"] * (self.seeds > 1), *["images"] * (self.images > 0)])


def contrast(rows: Sequence[Mapping[int, Draws]], weights: Sequence[float], level: float = LEVEL) -> Estimate | None:
    """The weighted sum of rows, such as one minus another, over the seeds that all of them have.

    Args:
        rows: Draws by seed, of the same resamples.
        weights: One for each row, that sum to 0.
        level: Of the interval.

    Returns:
        None where the rows share no seed, or the metric is defined for less than two images or half of the resamples.

    Raises:
        ValueError: The rows are not of the same images.
    """
    seeds = _shared(rows)
    if len({row[seed].images for row in rows for seed in seeds}) > 1:
        raise ValueError("these rows were evaluated on different images")

    def summed(what: str) -> Values:
        total = np.zeros(1)
        for row, weight in zip(rows, weights, strict=True):
            total = total + weight * np.array([getattr(row[seed], what) for seed in seeds], float)
        return total

    if not seeds:
        return None
    values, drawn, left = summed("value"), summed("resampled"), summed("left_out")
    images = len(rows[0][seeds[0]].images)
    drawn, rest = (part[:, np.isfinite(part).all(0)] for part in (drawn, left))
    if not np.isfinite(values).all() or 2 * drawn.shape[1] < len(rows[0][seeds[0]].resampled) or rest.shape[1] < 2:
        return None
    # A class in few images makes the bootstrap's variance too small and the jackknife's too large; their mean fits.
    bootstrap = np.atleast_2d(np.cov(drawn)) * images / (images - 1)
    jackknife = np.atleast_2d(np.cov(rest)) * (images - 1) ** 2 / images
    return _estimate(values, (bootstrap + jackknife) / 2, images, level)


def contrast_over_seeds(
    rows: Sequence[Mapping[int, float]], weights: Sequence[float], level: float = LEVEL
) -> Estimate | None:
    """As `contrast` where there are no counts: Student's t over seeds.

    None for less than two shared seeds, or where all seeds differ by the same: that is a chance of coarse scores, from
    which nothing follows of other seeds.
    """
    seeds = _shared(rows)
    values = np.array([sum(w * row[seed] for row, w in zip(rows, weights, strict=True)) for seed in seeds], float)
    if len(seeds) < 2 or not np.isfinite(values).all():
        return None
    if np.ptp(values) < EXACT <= abs(values[0]):
        return None
    return _estimate(values, None, 0, level)


def _shared(rows: Sequence[Mapping[int, object]]) -> list[int]:
    return sorted(set.intersection(*(set(row) for row in rows)))


def _estimate(values: Values, covariance: Values | None, images: int, level: float) -> Estimate:
    """Estimate from a difference per seed.

    The variance of the mean has a part that all seeds share, which images alone explain, and one of each seed. The
    quantile is the geometric mean of the two parts' t quantiles, weighted by their variances: the arithmetic one
    (Cochran and Cox) covers too much with two or three seeds, Satterthwaite's degrees of freedom too little. Seeds that
    by chance differ less than their images alone would make them differ add nothing: then the interval is that over
    images for these very runs, and never narrower.

    Args:
        values: Differences, (seeds,).
        covariance: Over images, (seeds, seeds); None where unknown.
        images: How many.
        level: Of the interval.
    """
    from scipy import optimize, special

    seeds, value = len(values), float(values.mean())
    parts = [(float(values.var(ddof=1)) / seeds, seeds - 1)] if seeds > 1 else []
    if covariance is not None:
        other = covariance[~np.eye(seeds, dtype=bool)]
        alone = float(covariance.mean())
        parts.append((max(0.0, float(other.mean())) if seeds > 1 else alone, images - 1))
        if sum(variance for variance, _ in parts) <= alone:
            parts = [(alone, images - 1)]
    error = math.sqrt(sum(variance for variance, _ in parts))
    if error < EXACT:
        return Estimate(value, value, value, float(abs(value) < EXACT), seeds, images)

    def reach(alpha: float) -> float:
        """Half the width of the interval of level 1 - alpha."""
        quantiles = [(-special.stdtrit(df, alpha / 2)) ** (variance / error**2) for variance, df in parts]
        return error * float(np.prod(quantiles))

    tiny, half = 1e-12, reach(1 - level)
    p = tiny if reach(tiny) < abs(value) else optimize.brentq(lambda a: reach(a) - abs(value), tiny, 1, xtol=1e-14)
    return Estimate(value, value - half, value + half, float(p), seeds, images)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's correction of the p values of one family; None is no test, and stays None."""
    order = sorted((value, k) for k, value in enumerate(p) if value is not None)
    found: list[float | None] = [None] * len(p)
    highest = 0.0
    for rank, (value, k) in enumerate(order):
        highest = max(highest, min(1.0, value * (len(order) - rank)))
        found[k] = highest
    return found


def stars(p: float | None) -> str:
    """Marks of a p value: * below 0.05, ** below 0.01, *** below 0.001."""
    return "" if p is None else next((mark for limit, mark in STARS if p < limit), "")


def marginal_weights(has: Sequence[Collection[str]], factor: str) -> list[float] | None:
    """Weights of rows whose sum is a factor's effect: its mean over all pairs of rows that differ in it alone.

    In a full factorial this is the mean of the rows with it minus the mean of those without; where some combinations
    mean nothing, rows without a partner do not count.

    Args:
        has: The factors of each row.
        factor: Which.

    Returns:
        None where no two rows differ in it alone.
    """
    place = {frozenset(row): k for k, row in enumerate(has)}
    pairs = [(k, place[row - {factor}]) for row, k in place.items() if factor in row and row - {factor} in place]
    weights = [0.0] * len(has)
    for on, off in pairs:  # no row is in two of them
        weights[on], weights[off] = 1 / len(pairs), -1 / len(pairs)
    return weights if pairs else None
