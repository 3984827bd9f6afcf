"""Test whether the seeds of a column are of two kinds, such as runs that lost one student and runs that kept both."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
LEAST = 3  # seeds of a row that can show two kinds
LEVEL = 0.05  # below it a column gets its footnote
DRAWS = 20_000
MANY = 100  # rows whose mean is as good as normal
FLOOR = 1e-12  # a share that is 0 has no logarithm


def two_kinds(rows: Sequence[Collection[float]]) -> float | None:
    """Return the p value of one kind of seeds: that normal rows split into two groups as well as these do.

    Each row's values are cut in two where that leaves the least variance within the groups. The statistic is the mean
    over rows of the logarithm of the share of the row's variance that is left, and its distribution under normal seeds
    comes from draws with a fixed seed. The spread of a row does not matter, so rows may spread differently.

    Args:
        rows: Values over seeds of each row; rows of less than `LEAST` values, or of one value, are left out.

    Returns:
        None where no row is left.
    """
    kept = [np.array(list(row), float) for row in rows if len(row) >= LEAST]
    kept = [row for row in kept if np.isfinite(row).all() and np.ptp(row) > 0]
    if not kept:
        return None
    found = float(np.mean([_left(row) for row in kept]))
    null = _null(tuple(sorted(len(row) for row in kept)))
    return (1 + int((null <= found).sum())) / (1 + DRAWS)


def _left(values: Values) -> Values:
    """Logarithm of the share of variance that the best cut in two leaves, over the last axis."""
    ordered = np.sort(values, -1)
    ordered = ordered - ordered.mean(-1, keepdims=True)
    count = ordered.shape[-1]
    sizes = np.arange(1, count)
    between = np.cumsum(ordered, -1)[..., :-1] ** 2 * (1 / sizes + 1 / (count - sizes))
    share: Values = 1 - between.max(-1) / (ordered**2).sum(-1)
    return np.log(np.maximum(share, FLOOR))


@lru_cache(maxsize=32)
def _null(sizes: tuple[int, ...]) -> Values:
    """The statistic of normal rows of these sizes, (DRAWS,); of many rows by the normal limit of their mean."""
    rng = np.random.default_rng(0)
    if len(sizes) > MANY:
        drawn = {size: _left(rng.normal(size=(DRAWS, size))) for size in dict.fromkeys(sizes)}
        mean, variance = (float(np.mean([f(drawn[size]) for size in sizes])) for f in (np.mean, np.var))
        return rng.normal(mean, (variance / len(sizes)) ** 0.5, DRAWS)
    total: Values = np.mean([_left(rng.normal(size=(DRAWS, size))) for size in sizes], axis=0)
    return total
