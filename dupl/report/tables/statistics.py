"""Compute means over seeds, and differences between rows with intervals and p values (docs/concepts/statistics.md).

An interval covers other images of the same kind and, with several seeds, other seeds too. Images are resampled
together for all rows (paired), and a seed of one row is compared with the same seed of another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dupl.report.tables.behrens_fisher import ErrorPart, half_width, two_sided
from dupl.report.tables.counts import Counts, Metric, Values
from dupl.report.tables.intervals import DEFAULT, Changes, interval_by

RESAMPLES = 2000
LEVEL = 0.95
EXACT = 1e-9  # points; less is rounding
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
P_SEEDS, THREE_STAR_SEEDS = 3, 5  # fewer give no p value, and no third star


@dataclass(frozen=True)
class Summary:
    """Mean and spread of values over seeds.

    Attributes:
        n: Number of values.
        mean: Their mean.
        std: Sample standard deviation (n - 1); None for one value.
    """

    n: int
    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Collection[float]) -> Summary:
        """Summarise at least one value."""
        numbers = np.array(list(values), float)
        return cls(len(numbers), float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else None)


@dataclass(frozen=True)
class Draws:
    """One run's metric on its images and on resamples of them.

    Attributes:
        value: On the images as they are, percent.
        resampled: On images drawn with replacement, (resamples,).
        left_out: Without each image in turn, (images,).
        images: Names of the images.
    """

    value: float
    resampled: Values
    left_out: Values
    images: tuple[str, ...]

    @classmethod
    def of(cls, counts: Counts, metric: Metric, resamples: int = RESAMPLES, seed: int = 0) -> Draws:
        """Compute them from the counts of one evaluation."""
        drawn = counts.resampled(metric, resamples, seed)
        return cls(counts.value(metric), drawn, counts.left_out(metric), counts.images)


@dataclass(frozen=True)
class Variances:
    """Variances of a difference between rows, in squared points; None where they are not known.

    Attributes:
        seeds: Over seeds, of the difference of one seed on given images.
        shared: Of what the draw of images does to all seeds alike.
        single: Of what the draw of images does to the difference of one seed, the shared part included.
    """

    seeds: float | None
    shared: float | None
    single: float | None


@dataclass(frozen=True)
class Estimate:
    """A difference between rows, in points of the metric.

    Attributes:
        values: The difference of each seed that the rows share.
        low, high: Ends of the interval.
        p: Of no difference over other seeds, two-sided; below 1 - level where the interval leaves out 0. None below
            `P_SEEDS` seeds, and where nothing is known of the variance over seeds.
        images: How many the interval counts with; 0 where it is over seeds only.
        over: What the interval covers: "images", "seeds" or "seeds x images".
        interval: Name of the method of the interval, see `dupl.report.tables.intervals`; p is always the default's.
        variances: What seeds and images contribute.
    """

    values: tuple[float, ...]
    low: float
    high: float
    p: float | None
    images: int
    over: str
    interval: str = DEFAULT
    variances: Variances = Variances(None, None, None)

    @property
    def value(self) -> float:
        """The difference of the means over the shared seeds."""
        return float(np.mean(self.values))

    @property
    def seeds(self) -> int:
        """How many seeds the rows share."""
        return len(self.values)


def contrast(
    rows: Sequence[Mapping[int, Draws]], weights: Sequence[float], level: float = LEVEL, interval: str = DEFAULT
) -> Estimate | None:
    """Estimate a weighted sum of rows, such as one minus another, over the seeds that all of them have.

    Args:
        rows: Draws by seed, of the same resamples.
        weights: One for each row, that sum to 0.
        level: Of the interval.
        interval: Name of its method.

    Returns:
        None where the rows share no seed, the metric is defined for less than two images or half of the resamples, or
        the method of the interval cannot tell.

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
    found = estimate_change(values, (bootstrap + jackknife) / 2, images, level)
    return _with_interval(found, interval, level, drawn, rest)


def contrast_over_seeds(
    rows: Sequence[Mapping[int, float]], weights: Sequence[float], level: float = LEVEL, interval: str = DEFAULT
) -> Estimate | None:
    """Estimate as `contrast` does, where there are no pixel counts: Student's t over seeds.

    None for less than two shared seeds, or where all seeds differ by the same amount: that happens by chance with
    coarse scores, and nothing follows from it for other seeds.
    """
    seeds = _shared(rows)
    values = np.array([sum(w * row[seed] for row, w in zip(rows, weights, strict=True)) for seed in seeds], float)
    if len(seeds) < 2 or not np.isfinite(values).all():
        return None
    if np.ptp(values) < EXACT <= abs(values[0]):
        return None
    return _with_interval(estimate_change(values, None, 0, level), interval, level, None, None)


def _shared(rows: Sequence[Mapping[int, object]]) -> list[int]:
    return sorted(set.intersection(*(set(row) for row in rows)))


def _with_interval(
    found: Estimate, name: str, level: float, drawn: Values | None, left: Values | None
) -> Estimate | None:
    """Return an estimate with the interval of another method; None where that cannot tell."""
    if name == DEFAULT:
        return found
    own, shared = _parts(np.array(found.values), found.variances)
    changes = Changes(np.array(found.values), drawn, left, own, shared, found.images)
    ends = interval_by(name, changes, level)
    return None if ends is None else replace(found, low=ends[0], high=ends[1], interval=name)


def _parts(values: Values, variances: Variances) -> tuple[float, float]:
    """Return the variance of the mean difference that seeds cause, and the one that images cause."""
    seeds = len(values)
    own = (variances.seeds or 0.0) / seeds
    if variances.shared is None or variances.single is None:
        return own, 0.0
    alone = variances.shared + (variances.single - variances.shared) / seeds  # of the mean of these very runs
    return own, max(0.0, alone - own, variances.shared if seeds > 1 else 0.0)


def estimate_change(values: Values, covariance: Values | None, images: int, level: float = LEVEL) -> Estimate:
    """Estimate from a difference per seed.

    The variance of the mean has two parts. That of the seeds is their sample variance divided by their number, with
    seeds - 1 degrees of freedom; it is never dropped. That of the images is the mean covariance between seeds, with
    images - 1 degrees of freedom. Seeds that agree more closely than the draws of images let these very runs agree
    leave the missing variance to the images, so that no interval is narrower than that over images alone. The two parts
    are joined by `dupl.report.tables.behrens_fisher`.

    Args:
        values: Differences, (seeds,).
        covariance: Over images, (seeds, seeds); None where unknown.
        images: How many.
        level: Of the interval.
    """
    seeds, value, known = len(values), float(values.mean()), len(values) > 1
    single = shared = None
    if covariance is not None:
        single = float(np.diag(covariance).mean())
        shared = float(covariance[~np.eye(seeds, dtype=bool)].mean()) if known else single
    variances = Variances(float(values.var(ddof=1)) if known else None, shared, single)
    errors = [variance**0.5 for variance in _parts(values, variances)]
    parts = {"seeds": ErrorPart(errors[0], seeds - 1), "images": ErrorPart(errors[1], images - 1)}
    parts = {name: part for name, part in parts.items() if part.error > EXACT and part.df > 0}
    covers = [*["seeds"] * ("seeds" in parts), *["images"] * (images > 0)]
    told, over = tuple(map(float, values)), " x ".join(covers) or "seeds"
    if not parts:
        return Estimate(told, value, value, None, images, over, variances=variances)
    half = half_width(1 - level, tuple(parts.values()))
    p = two_sided(value, tuple(parts.values())) if seeds >= P_SEEDS and "seeds" in parts else None
    return Estimate(told, value - half, value + half, p, images, over, variances=variances)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Correct the p values of one family by Holm's method; None is no test, and stays None."""
    order = sorted((value, k) for k, value in enumerate(p) if value is not None)
    found: list[float | None] = [None] * len(p)
    highest = 0.0
    for rank, (value, k) in enumerate(order):
        highest = max(highest, min(1.0, value * (len(order) - rank)))
        found[k] = highest
    return found


def stars(p: float | None, seeds: int) -> str:
    """Return the marks of a p value: * below 0.05, ** below 0.01, *** below 0.001 and from `THREE_STAR_SEEDS` seeds."""
    if p is None or seeds < P_SEEDS:
        return ""
    mark = next((mark for limit, mark in STARS if p < limit), "")
    return mark if seeds >= THREE_STAR_SEEDS else mark[:2]


def marginal_weights(has: Sequence[Collection[str]], factor: str) -> list[float] | None:
    """Return weights of rows whose sum is a factor's effect: its mean over all pairs of rows that differ in it alone.

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
