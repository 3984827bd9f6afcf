"""How often the p values of a table are small without a difference, and with one: tables of five simulated changes.

``benchmarks/coverage.py`` prints it. A change of seed s is measured as ``shared + images_s + seed_s``: what the drawn
images do to all seeds alike (variance 1), what they do to this seed's run alone (variance 1), and the seed itself
(variance `Setting.ratio`). With an infinite ratio the images do nothing and the seed has variance 1. In tables of
"unequal" rows the seeds of one of the five spread ten times as wide. The true change is 0 where nothing else is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dupl.report.tables.behrens_fisher import ErrorPart, half_width

ROWS, IMAGES, WIDE = 5, 200, 2
ALPHAS = (0.05, 0.01, 0.001)
ANGLES = np.linspace(0, math.pi / 2, 121)
Values = NDArray[Any]


class Setting(NamedTuple):
    """A kind of table: seeds of each row, ratio of seed to image variance, how much wider one row spreads."""

    seeds: int
    ratio: float
    wide: float = 1.0

    @property
    def scales(self) -> Values:
        """Standard deviation of each row's seeds beside that of the others, (rows,)."""
        return np.where(np.arange(ROWS) == WIDE, self.wide, 1.0)

    @property
    def spread(self) -> Values:
        """Standard deviation over seeds of each row's measured change on given images, (rows,)."""
        return self.scales if math.isinf(self.ratio) else np.sqrt(1 + self.ratio * self.scales**2)


@dataclass(frozen=True)
class Drawn:
    """Simulated tables, arrays (tables, rows).

    Attributes:
        mean: Change, the mean over seeds.
        own: Variance over seeds, divided by their number.
        shared, alone: Estimated variance that images alone give all seeds alike, and the mean of these very runs.
        seeds: How many.
    """

    mean: Values
    own: Values
    shared: Values
    alone: Values
    seeds: int


def draw(setting: Setting, tables: int, rng: np.random.Generator, change: float = 0.0, gap: float = 0.0) -> Drawn:
    """Simulate tables.

    Args:
        setting: Their kind.
        tables: How many.
        rng: Of the draws.
        change: True change, in standard deviations over seeds of each row.
        gap: Between two kinds of seeds, in the same unit; each seed is of either kind with probability 1/2.
    """
    shape, images = (tables, ROWS, setting.seeds), float(math.isfinite(setting.ratio))
    values = rng.normal(size=shape) + change + gap * (rng.integers(0, 2, shape) - 0.5) * (gap > 0)
    values = values * setting.spread[:, None] + images * rng.normal(size=shape[:2])[..., None]
    found = images * rng.chisquare(IMAGES - 1, shape[:2]) / (IMAGES - 1)
    own = values.var(2, ddof=1) / setting.seeds
    return Drawn(values.mean(2), own, found, found * (1 + 1 / setting.seeds), setting.seeds)


@lru_cache(maxsize=64)
def limits(df: int, alpha: float) -> Values:
    """Critical values of Behrens and Fisher over `ANGLES`, for parts sin and cos of the angle."""
    parts = [(ErrorPart(max(a, 1e-9), df), ErrorPart(max(b, 1e-9), IMAGES - 1)) for a, b in zip(*turned(), strict=True)]
    return np.array([half_width(alpha, pair) for pair in parts])


def turned() -> tuple[Values, Values]:
    """Sines and cosines of `ANGLES`."""
    return np.sin(ANGLES), np.cos(ANGLES)


def table_rule(drawn: Drawn, alpha: float) -> Values:
    """Whether each p value lies below alpha, as `dupl.report.tables.statistics` computes it."""
    images = np.maximum(drawn.shared, drawn.alone - drawn.own)
    angle = np.arctan2(np.sqrt(drawn.own), np.sqrt(images))
    return np.abs(drawn.mean) > np.sqrt(drawn.own + images) * np.interp(angle, ANGLES, limits(drawn.seeds - 1, alpha))


def welch(drawn: Drawn, alpha: float) -> Values:
    """The same sum of variances with Welch's degrees of freedom."""
    total = drawn.own + drawn.shared
    df = total**2 / (drawn.own**2 / (drawn.seeds - 1) + drawn.shared**2 / (IMAGES - 1))
    return np.abs(drawn.mean) > np.sqrt(total) * -special.stdtrit(df, alpha / 2)


def cochran(drawn: Drawn, alpha: float) -> Values:
    """The same sum with the mean of both quantiles, weighted by the variances (Cochran and Cox)."""
    quantiles = [-special.stdtrit(df, alpha / 2) for df in (drawn.seeds - 1, IMAGES - 1)]
    return (
        np.abs(drawn.mean) * np.sqrt(drawn.own + drawn.shared) > drawn.own * quantiles[0] + drawn.shared * quantiles[1]
    )


def former(drawn: Drawn, alpha: float) -> Values:
    """The rule of earlier tables: geometric mean of the quantiles, and seeds that agree by chance are dropped."""
    quantiles = [-special.stdtrit(df, alpha / 2) for df in (drawn.seeds - 1, IMAGES - 1)]
    total = drawn.own + drawn.shared
    usual = np.sqrt(total) * quantiles[0] ** (drawn.own / total) * quantiles[1] ** (drawn.shared / total)
    return np.abs(drawn.mean) > np.where(total <= drawn.alone, np.sqrt(drawn.alone) * quantiles[1], usual)


def own_t(drawn: Drawn, alpha: float) -> Values:
    """Student's t of the row's own seeds."""
    return np.abs(drawn.mean) > np.sqrt(drawn.own) * -special.stdtrit(drawn.seeds - 1, alpha / 2)


def pooled(drawn: Drawn, alpha: float) -> Values:
    """The mean variance of all rows, with all their degrees of freedom."""
    variance = drawn.own.mean(1, keepdims=True)
    return np.abs(drawn.mean) > np.sqrt(variance) * -special.stdtrit(ROWS * (drawn.seeds - 1), alpha / 2)


def moderated(drawn: Drawn, alpha: float) -> Values:
    """Variances shrunk to a common one by empirical Bayes, with the degrees of freedom of both."""
    variance, df, prior = shrunk(drawn)
    return np.abs(drawn.mean) > np.sqrt(variance) * -special.stdtrit(df + prior, alpha / 2)


def moderated_own_df(drawn: Drawn, alpha: float) -> Values:
    """The same variances with the degrees of freedom of the row alone."""
    variance, df, _ = shrunk(drawn)
    return np.abs(drawn.mean) > np.sqrt(variance) * -special.stdtrit(df, alpha / 2)


def shrunk(drawn: Drawn) -> tuple[Values, int, Values]:
    """Moderated variances, a row's degrees of freedom, and those of the prior: moments of logarithms (Smyth 2004)."""
    df = drawn.seeds - 1
    logs = np.log(drawn.own) - special.digamma(df / 2) + math.log(df / 2)
    excess = logs.var(1, ddof=1, keepdims=True) - special.polygamma(1, df / 2)
    prior = 2 * inverse_trigamma(np.maximum(excess, 1e-6))
    centre = np.exp(logs.mean(1, keepdims=True) + special.digamma(prior / 2) - np.log(prior / 2))
    return (prior * centre + df * drawn.own) / (prior + df), df, prior


def inverse_trigamma(x: Values) -> Values:
    """Solve trigamma(y) = x by Newton's method on 1 / trigamma, which is nearly a line."""
    y = 0.5 + 1 / x
    for _ in range(30):
        y = y + special.polygamma(1, y) * (1 - special.polygamma(1, y) / x) / special.polygamma(2, y)
    return y


Rule = Callable[[Drawn, float], Values]
JOINED: dict[str, Rule] = {
    "Behrens and Fisher (the tables')": table_rule,
    "Cochran and Cox": cochran,
    "Welch": welch,
    "geometric mean, agreeing seeds dropped (before)": former,
}
VARIANCES: dict[str, Rule] = {
    "the row's own (the tables')": own_t,
    "pooled": pooled,
    "moderated": moderated,
    "moderated, df of the row": moderated_own_df,
}
RATIOS = (0.0, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0, math.inf)


class Rates(NamedTuple):
    """Shares of simulated tables, percent: p below each of `ALPHAS` in the worst kind of row, and after Holm."""

    small: tuple[float, ...]
    family: float


def rates(rule: Rule, setting: Setting, tables: int, gap: float = 0.0) -> Rates:
    """Count false positives of a rule; the wide row and the others are counted apart, and the higher rate is told."""
    drawn = draw(setting, tables, np.random.default_rng(0), gap=gap)
    wide = np.arange(ROWS) == WIDE
    found = [rule(drawn, alpha) for alpha in ALPHAS]
    kinds = [wide, ~wide] if setting.wide != 1 else [wide | True]
    small = tuple(100 * max(float(one[:, kind].mean()) for kind in kinds) for one in found)
    return Rates(small, 100 * float(rule(drawn, 0.05 / ROWS).any(1).mean()))


def power(rule: Rule, setting: Setting, tables: int, change: float = 2.0) -> float:
    """Share of changes of so many standard deviations over seeds that are found at 0.05, in the worst kind of row."""
    drawn = draw(setting, tables, np.random.default_rng(1), change=change)
    return 100 * float(rule(drawn, 0.05).mean(0).min())


def grid(tables: int) -> Iterator[str]:
    """Lines of Markdown: the tables' rule over the grid, then other rules, then seeds of two kinds."""
    head = ("p < .05", "p < .01", "p < .001", "family-wise")
    yield from heading("seeds", "ratio", "rows", "coverage", *head, "power")
    for seeds in (2, 3, 5):
        for setting in settings(seeds):
            found, strength = rates(table_rule, setting, tables), power(table_rule, setting, tables)
            rows = "unequal" if setting.wide != 1 else "equal"
            lead = f"| {seeds} | {told(setting.ratio)} | {rows} | {100 - found.small[0]:.1f} "
            yield lead + f"| {shares(found)} | {strength:.0f} |"
    yield from heading("variance over seeds", "seeds", "rows", *head, "power")
    for name, rule in VARIANCES.items():
        for seeds in (3, 5):
            for setting in (Setting(seeds, math.inf, wide) for wide in (1.0, 10.0, 0.1)):
                rows = {1.0: "equal", 10.0: "one 10 x as wide", 0.1: "one 0.1 x as wide"}[setting.wide]
                found, strength = rates(rule, setting, tables), power(rule, setting, tables)
                yield f"| {name} | {seeds} | {rows} | {shares(found)} | {strength:.0f} |"
    yield from heading("seeds and images joined by", "seeds", *head)
    for name, rule in JOINED.items():
        for seeds in (3, 5):
            worst = [rates(rule, setting, tables) for setting in settings(seeds)]
            small = tuple(map(max, zip(*(one.small for one in worst), strict=True)))
            yield f"| {name} | {seeds} | {shares(Rates(small, max(one.family for one in worst)))} |"
    yield from heading("two kinds of seeds, gap", "seeds", *head)
    for gap in (5.0, 20.0):
        for seeds in (2, 3, 5):
            yield f"| {gap:g} | {seeds} | {shares(rates(own_t, Setting(seeds, math.inf), tables, gap))} |"


def heading(*names: str) -> Iterator[str]:
    """Yield the first lines of a table."""
    yield from ("", f"| {' | '.join(names)} |", "|" + "---|" * len(names))


def settings(seeds: int) -> list[Setting]:
    """The grid of one number of seeds."""
    return [Setting(seeds, ratio, wide) for ratio in RATIOS for wide in (1.0, 10.0) if ratio or wide == 1.0]


def told(ratio: float) -> str:
    """A ratio as printed."""
    return "no image variance" if math.isinf(ratio) else f"{ratio:g}"


def shares(found: Rates) -> str:
    """Cells of a line."""
    small = [f"{share:.2f}" if k < 2 else f"{share:.3f}" for k, share in enumerate(found.small)]
    return " | ".join([*small, f"{found.family:.1f}"])
