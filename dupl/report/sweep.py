"""What a sweep found: its best trials, its front, and how much each parameter matters, as far as the trials tell."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.importance import BaseImportanceEvaluator
    from pandas import DataFrame

ENOUGH = 8  # complete trials, fewer tell nothing of importance
TOP = 5  # trials that PED-ANOVA's best share should hold
EVALUATORS = ("PED-ANOVA", "fANOVA")
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
        split: That the goals were read on.
        iterations: Of a trial that is not pruned; None where that differs.
        start: Number of the trial at the point the search began from; None where there is none.
        facts: Names and values: recipe, sampler, pruner, study, command.
    """

    name: str
    title: str
    goals: tuple[tuple[str, str], ...]
    axes: tuple[Axis, ...]
    split: str = "search"
    iterations: int | None = None
    start: int | None = 0
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Importance:
    """How much a parameter matters to a goal.

    Attributes:
        metric: Of the goal.
        evaluator: One of `EVALUATORS`.
        axis: Name of the parameter.
        value: Share of all parameters, 0 to 1.
        low, high: From the 5th to the 95th percentile over bootstraps of the trials.
        first: Share of bootstraps in which it matters most.
    """

    metric: str
    evaluator: str
    axis: str
    value: float
    low: float
    high: float
    first: float


@dataclass(frozen=True)
class SweepReport:
    """Everything that a report shows.

    Attributes:
        outline: Of the sweep.
        trials: Its frame: number, state, value, values, params/<name>, run, folder, iteration, seconds, started, ended,
            reason; and cached, where the run had been there before.
        best: Numbers of complete trials: best first; with several goals the front, along the first goal.
        importances: Largest first within each goal and evaluator.
        missing: Why there are no importances; "" where there are.
        bootstraps: Behind their spread.
    """

    outline: SweepOutline
    trials: DataFrame
    best: tuple[int, ...]
    importances: tuple[Importance, ...] = ()
    missing: str = ""
    bootstraps: int = 0

    def trial(self, number: int) -> Any:
        """One of the trials."""
        return self.trials[self.trials["number"] == number].iloc[0]


def report(
    outline: SweepOutline,
    trials: DataFrame,
    top: int = 5,
    bootstraps: int = 50,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SweepReport:
    """What the trials tell.

    Args:
        outline: Of the sweep.
        trials: Its frame, see `SweepReport`.
        top: How many of the best to list, where there is one goal.
        bootstraps: For the spread of importances.
        progress: Is told the bootstraps done and in all.
    """
    known = complete(outline, trials)
    best = front(outline, known) if len(outline.goals) > 1 else ranked(outline, known)[:top]
    missing = ""
    if len(known) < ENOUGH:
        missing = f"{len(known)} complete trials: importances need {ENOUGH}"
    elif len(_varied(outline.axes, known)) < 2:
        missing = "fewer than two parameters were varied: there is nothing to weigh"
    found = () if missing else importances(outline, known, bootstraps, progress)
    return SweepReport(outline, trials, best, found, missing, 0 if missing else bootstraps)


def complete(outline: SweepOutline, trials: DataFrame) -> DataFrame:
    """The trials that ended with a number for every goal."""
    have = [
        state == "complete" and len(values) == len(outline.goals) and all(map(math.isfinite, values))
        for state, values in zip(trials["state"], trials["values"], strict=True)
    ]
    return trials[have]


def goal_values(trials: DataFrame, goal: int) -> list[float]:
    """What trials reached by a goal, NaN where they reached nothing; of a pruned one what it had at its end."""
    return [float(values[goal]) if len(values) > goal else math.nan for values in trials["values"]]


def ranked(outline: SweepOutline, known: DataFrame) -> tuple[int, ...]:
    """Numbers of complete trials by the first goal, best first; of equals the earlier."""
    sign = -1 if outline.goals[0][1] == "maximize" else 1
    pairs = zip(goal_values(known, 0), known["number"], strict=True)
    return tuple(int(number) for _, number in sorted((sign * value, number) for value, number in pairs))


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
    done = trials[trials["state"].isin(["complete", "pruned"])]
    pruned = done[done["state"] == "pruned"]
    saved = sum(max(0, outline.iterations - int(t)) for t in pruned["iteration"].fillna(0))
    return saved, outline.iterations * len(done)


def importances(
    outline: SweepOutline, known: DataFrame, bootstraps: int, progress: Callable[[int, int], None]
) -> tuple[Importance, ...]:
    """PED-ANOVA and fANOVA of each goal, with their spread over bootstraps of the trials.

    PED-ANOVA (Watanabe et al., 2023) asks what the best share of trials has in common; the share is a tenth, or as
    many as hold five trials, half at most. fANOVA (Hutter et al., 2014) asks how the mean over all other parameters
    varies with one. Both are Optuna's, of shares that add up to 1; a sample of trials is drawn with replacement.
    """
    import numpy as np

    axes, rng = _varied(outline.axes, known), np.random.default_rng(0)
    draws = [rng.integers(0, len(known), len(known)) for _ in range(bootstraps)]
    found, total, done = [], len(outline.goals) * (1 + bootstraps), 0
    for goal, (metric, direction) in enumerate(outline.goals):
        values = goal_values(known, goal)
        rounds = []
        for draw in [np.arange(len(known)), *draws]:
            rounds.append(_once(axes, known.iloc[draw], [values[k] for k in draw], direction))
            done += 1
            progress(done, total)
        whole, *others = rounds
        for evaluator in EVALUATORS:
            shares = whole[evaluator]
            for name in sorted(shares, key=lambda name: -shares[name]):
                spread = [one[evaluator].get(name, 0.0) for one in others] or [shares[name]]
                low, high = np.percentile(spread, (5, 95))
                tops = [max(one[evaluator], key=one[evaluator].__getitem__) == name for one in others]
                first = float(np.mean(tops)) if tops else math.nan
                found.append(Importance(metric, evaluator, name, shares[name], float(low), float(high), first))
    return tuple(found)


def _varied(axes: Sequence[Axis], known: DataFrame) -> list[Axis]:
    """The parameters with more than one value among the trials."""
    return [axis for axis in axes if axis.column in known and known[axis.column].nunique() > 1]


def _once(
    axes: Sequence[Axis], known: DataFrame, values: Sequence[float], direction: str
) -> dict[str, dict[str, float]]:
    """Shares by parameter, by evaluator, of one sample of trials."""
    import optuna

    study, found = _study(axes, known, values, direction), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small samples, whose spread is told instead
        for name in EVALUATORS:
            quantile = min(0.5, max(0.1, TOP / len(known)))
            evaluator: BaseImportanceEvaluator = (
                optuna.importance.PedAnovaImportanceEvaluator(
                    target_quantile=quantile, region_quantile=1.0, evaluate_on_local=True
                )
                if name == "PED-ANOVA"
                else optuna.importance.FanovaImportanceEvaluator(n_trees=64, max_depth=64, seed=0)
            )
            try:
                shares = optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=True)
            except (RuntimeError, ValueError):  # fANOVA, where nothing varies
                shares = {}
            found[name] = {axis.name: float(shares.get(axis.name, 0.0)) for axis in axes}
    return found


def _study(axes: Sequence[Axis], known: DataFrame, values: Sequence[float], direction: str) -> Study:
    """The trials as a study of one goal, in memory."""
    import optuna
    from pandas import notna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction)
    optuna.logging.set_verbosity(level)
    spaces = {axis.name: axis.distribution() for axis in axes}
    for (_, row), value in zip(known.iterrows(), values, strict=True):
        has = [axis for axis in axes if notna(row[axis.column])]
        params = {axis.name: int(row[axis.column]) if axis.whole else row[axis.column] for axis in has}
        trial = optuna.trial.create_trial(
            params=params, distributions={name: spaces[name] for name in params}, value=value
        )
        study.add_trial(trial)
    return study
