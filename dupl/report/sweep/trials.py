"""A sweep and its trials as plain data: parameters, goals, what became of the trials, which are best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from pandas import DataFrame, Series

STATES = ("complete", "pruned", "failed", "running", "waiting")


@dataclass(frozen=True)
class Axis:
    """A parameter.

    Attributes:
        name: As in the trials' column "params/<name>".
        label: As printed.
        low, high: Bounds; None where it is categorical.
        step: Between values; None where there is none.
        log: Whether it was drawn on a log scale.
        whole: Whether its values are integers.
        choices: Of a categorical one.
    """

    name: str
    label: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def column(self) -> str:
        """Of the trials."""
        return f"params/{self.name}"

    def distribution(self) -> BaseDistribution:
        """The same to Optuna."""
        from optuna import distributions as known

        if self.low is None or self.high is None:
            return known.CategoricalDistribution(self.choices)
        if self.whole:
            return known.IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return known.FloatDistribution(self.low, self.high, log=self.log, step=self.step)


@dataclass(frozen=True)
class SweepOutline:
    """A sweep, as far as its report needs it.

    Attributes:
        name: Of the sweep file.
        title: One line.
        goals: Metric and direction ("maximize" or "minimize").
        axes: In order.
        iterations: Of a trial that is not pruned; None where that differs.
        start: Number of the trial at the point the search began from; None where there is none.
        facts: Names and values: recipe, sampler, pruner, study, command.
    """

    name: str
    title: str
    goals: tuple[tuple[str, str], ...]
    axes: tuple[Axis, ...]
    iterations: int | None = None
    start: int | None = 0
    facts: Mapping[str, str] = field(default_factory=dict)


def complete(outline: SweepOutline, trials: DataFrame) -> DataFrame:
    """The trials that ended with a number for every goal."""
    import numpy as np

    have = [
        state == "complete" and len(values) == len(outline.goals) and all(map(math.isfinite, values))
        for state, values in zip(trials["state"], trials["values"], strict=True)
    ]
    return trials[np.array(have, bool)]


def judged(outline: SweepOutline, trials: DataFrame) -> DataFrame:
    """The complete trials and, where there is one goal, the pruned ones: those were found worse on the way."""
    known = complete(outline, trials)
    return trials[trials["number"].isin(known["number"]) | (pruned(trials) & (len(outline.goals) == 1))]


def pruned(trials: DataFrame) -> Series:
    """Which trials a pruner ended; one that broke a constraint is in the same state, but was never begun."""
    return (trials["state"] == "pruned") & trials["iteration"].notna()


def goal_values(trials: DataFrame, goal: int) -> list[float]:
    """What trials reached by a goal, NaN where they reached nothing; of a pruned one what it had at its end."""
    return [float(values[goal]) if len(values) > goal else math.nan for values in trials["values"]]


def ranked(outline: SweepOutline, known: DataFrame) -> tuple[int, ...]:
    """Numbers of complete trials by the first goal, best first; of equals the earlier, of a run's trials one."""
    sign = -1 if outline.goals[0][1] == "maximize" else 1
    triples = zip(goal_values(known, 0), known["number"], known["run"], strict=True)
    found = sorted((sign * value, number, run or number) for value, number, run in triples)
    return tuple(int(number) for number in {run: number for _, number, run in reversed(found)}.values())[::-1]


def front(outline: SweepOutline, known: DataFrame) -> tuple[int, ...]:
    """Numbers of complete trials that no other beats: not worse by all goals, and better by one."""
    signs = [1 if direction == "maximize" else -1 for _, direction in outline.goals]
    points = {
        int(number): tuple(sign * value for sign, value in zip(signs, values, strict=True))
        for number, values in zip(known["number"], known["values"], strict=True)
    }

    def beaten(point: tuple[float, ...]) -> bool:
        return any(o != point and all(a >= b for a, b in zip(o, point, strict=True)) for o in points.values())

    return tuple(number for number in ranked(outline, known) if not beaten(points[number]))


def tally(trials: DataFrame) -> dict[str, int]:
    """Trials by state, of the states that there are."""
    return {state: n for state in STATES if (n := int((trials["state"] == state).sum()))}


def spared(outline: SweepOutline, trials: DataFrame) -> tuple[int, int] | None:
    """Iterations that pruned trials did not train, and those that all ended trials would have without pruning."""
    if outline.iterations is None:
        return None
    cut = pruned(trials)
    saved = sum(max(0, outline.iterations - int(t)) for t in trials.loc[cut, "iteration"])
    return saved, outline.iterations * int((cut | (trials["state"] == "complete")).sum())
