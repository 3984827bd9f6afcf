"""Forecast what a table can show: the probability that a change gets p < alpha, by the tables' own estimator.

With normal seeds the mean change and its variance over seeds are independent. The forecast is therefore one integral
over the distribution of that variance, in which every value has the critical value that
`dupl.report.tables.behrens_fisher` gives it. ``benchmarks/power.py`` compares it with simulated tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any

import numpy as np

from dupl.errors import UserError
from dupl.report.tables.behrens_fisher import ErrorPart, half_width
from dupl.report.tables.statistics import LEVEL, P_SEEDS, Estimate

ALPHA = 1 - LEVEL
POWER = 0.8
MOST_SEEDS = 100
IMAGES = 1000  # where the number of images is not known; more or fewer change next to nothing
NODES, ANGLES = 400, 25


@dataclass(frozen=True)
class Spread:
    """How much a change varies, in points of the metric.

    Attributes:
        seeds: Standard deviation over seeds of the change of one seed, on given images.
        images: Standard error that the draw of images gives to all seeds alike.
        single: The same of the change of one seed, with what images do to this seed alone; None: nothing more.
        count: Number of images.
    """

    seeds: float
    images: float
    single: float | None = None
    count: int = IMAGES

    @classmethod
    def parse(cls, text: str) -> Spread:
        """Read "SEEDS,IMAGES", such as "1.8,0.9".

        Raises:
            UserError: It is no such pair, or the seeds do not vary.
        """
        try:
            seeds, images = (float(part) for part in text.split(","))
        except ValueError:
            raise UserError(f"--spread {text}: write SEEDS,IMAGES in points of the metric, such as 1.8,0.9") from None
        if not (math.isfinite(seeds) and math.isfinite(images) and seeds > 0 and images >= 0):
            raise UserError(f"--spread {text}: the seeds need a spread above 0, the images one from 0 on")
        return cls(seeds, images)


def typical_spread(estimates: Sequence[Estimate]) -> Spread:
    """Return the median spread of changes.

    The sample variance of few seeds lies below the true one more often than above it. Each is therefore divided by the
    median of its own distribution, of chi-square with seeds - 1 degrees of freedom, before the median is taken.

    Args:
        estimates: Of changes over at least two seeds each.
    """
    from scipy import special

    variances = [
        (one.variances.seeds or 0.0) * (one.seeds - 1) / (2 * float(special.gammaincinv((one.seeds - 1) / 2, 0.5)))
        for one in estimates
    ]
    seeds = median(variances) ** 0.5
    images = [one for one in estimates if one.variances.shared is not None]
    if not images:
        return Spread(seeds, 0.0)
    shared, single = (
        median([max(0.0, getattr(one.variances, name)) for one in images]) ** 0.5 for name in ("shared", "single")
    )
    return Spread(seeds, shared, max(shared, single), images[0].images)


def probability(spread: Spread, seeds: int, change: float, alpha: float = ALPHA) -> float:
    """Return the probability that a change gets p < alpha.

    Args:
        spread: How much it varies.
        seeds: How many seeds its rows share; below `P_SEEDS` a table has no p value, and this is 0.
        change: The true change, in points.
        alpha: Of one test.
    """
    from scipy import special

    if seeds < P_SEEDS or spread.seeds <= 0:
        return 0.0
    critical, deviation = _critical(spread, seeds, alpha)
    found = special.ndtr((abs(change) - critical) / deviation) + special.ndtr((-abs(change) - critical) / deviation)
    return float(found.mean())


def smallest_change(spread: Spread, seeds: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Return the change that gets p < alpha with a probability; None below `P_SEEDS` seeds."""
    from scipy import optimize

    if seeds < P_SEEDS or spread.seeds <= 0:
        return None
    critical, deviation = _critical(spread, seeds, alpha)
    most = float(critical.max()) + 10 * deviation
    return float(optimize.brentq(lambda change: probability(spread, seeds, change, alpha) - power, 0, most, xtol=1e-6))


def seeds_needed(spread: Spread, change: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Return the fewest seeds with which a change gets p < alpha with a probability.

    Returns:
        None where `MOST_SEEDS` are too few, as where the images alone hide the change.
    """

    def enough(seeds: int) -> bool:
        return probability(spread, seeds, change, alpha) >= power

    if not _shown_by_any(spread, change, alpha, power):
        return None
    low, high = P_SEEDS - 1, P_SEEDS
    while not enough(high):
        if high == MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _shown_by_any(spread: Spread, change: float, alpha: float, power: float) -> bool:
    """Return whether any number of seeds could show a change on these images."""
    from scipy import special

    critical = -float(special.ndtri(alpha / 2))
    return spread.images == 0 or float(special.ndtr(abs(change) / spread.images - critical)) >= power


def _critical(spread: Spread, seeds: int, alpha: float) -> tuple[Any, float]:
    """Return the critical value of a mean change at `NODES` quantiles of its estimated variance, and its deviation."""
    from scipy import special

    df, own = seeds - 1, spread.seeds**2 / seeds
    shared, single = spread.images**2, (spread.images if spread.single is None else spread.single) ** 2
    quantiles = (np.arange(NODES) + 0.5) / NODES
    found = own * 2 * special.gammaincinv(df / 2, quantiles) / df  # of chi-square: the estimated variance over seeds
    images = np.maximum(shared, shared + (single - shared) / seeds - found)
    angle = np.arctan2(np.sqrt(found), np.sqrt(images))
    return np.sqrt(found + images) * _quantile(df, spread.count - 1, alpha)(angle), math.sqrt(own + shared)


@lru_cache(maxsize=256)
def _quantile(df: int, images_df: int, alpha: float) -> Callable[[Any], Any]:
    """Return critical values of two parts of the error, sin and cos of an angle, as a function of the angle."""
    from scipy.interpolate import CubicSpline

    angles = np.linspace(0, math.pi / 2, ANGLES)
    parts = [(ErrorPart(max(math.sin(a), 1e-9), df), ErrorPart(max(math.cos(a), 1e-9), images_df)) for a in angles]
    found: Callable[[Any], Any] = CubicSpline(angles, [half_width(alpha, pair) for pair in parts])
    return found
