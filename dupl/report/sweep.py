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
    from pandas import DataFrame, Series

ENOUGH = 8  # trials; fewer tell nothing of importance
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
        missing: Why an evaluator has no importances; "" where all have.
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
    ended = judged(outline, trials)
    lacking = [
        f"{name} needs {ENOUGH} trials that {what}: there are {len(part)}"
        for name, part, what in (
            ("PED-ANOVA", ended, "ended"),
            ("fANOVA", known, "are complete"),
        )
        if len(part) < ENOUGH
    ]
    if len(_varied(outline.axes, ended)) < 2:
        return SweepReport(outline, trials, best, missing="of fewer than two parameters there is nothing to weigh")
    found = importances(outline, ended, bootstraps, progress) if len(lacking) < len(EVALUATORS) else ()
    return SweepReport(outline, trials, best, found, "; ".join(lacking), bootstraps)


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


def importances(
    outline: SweepOutline, ended: DataFrame, bootstraps: int, progress: Callable[[int, int], None]
) -> tuple[Importance, ...]:
    """PED-ANOVA and fANOVA of each goal, with their spread over bootstraps of the trials.

    PED-ANOVA (Watanabe et al., 2023) asks what the best trials have in common: a tenth of them, at least five, at most
    half and all that are complete; a pruned trial counts as one of the others. fANOVA (Hutter et al., 2014) asks how
    the mean over all other parameters varies with one, from complete trials. Both are Optuna's, in shares that add up
    to 1; a bootstrap draws as many trials with replacement.

    Args:
        outline: Of the sweep.
        ended: Of `judged`.
        bootstraps: How many.
        progress: Is told the bootstraps done and in all.
    """
    import numpy as np

    axes, rng = _varied(outline.axes, ended), np.random.default_rng(0)
    draws = [rng.integers(0, len(ended), len(ended)) for _ in range(bootstraps)]
    found: list[Importance] = []
    total, done = len(outline.goals) * (1 + bootstraps), 0
    for goal, (metric, direction) in enumerate(outline.goals):
        values = np.where(ended["state"] == "complete", goal_values(ended, goal), math.nan)
        rounds = []
        for draw in [np.arange(len(ended)), *draws]:
            rounds.append(_once(axes, ended.iloc[draw], values[draw].tolist(), direction))
            done += 1
            progress(done, total)
        for evaluator in EVALUATORS:
            whole, *others = (one.get(evaluator, {}) for one in rounds)
            found += _spread(metric, evaluator, whole, [one for one in others if one])
    return tuple(found)


def _spread(
    metric: str, evaluator: str, whole: Mapping[str, float], others: Sequence[Mapping[str, float]]
) -> list[Importance]:
    """Shares of all trials, with those of the bootstraps."""
    import numpy as np

    found, tops = [], [max(one, key=one.__getitem__) for one in others]
    for name in sorted(whole, key=lambda name: -whole[name]):
        low, high = np.percentile([one[name] for one in others] or [math.nan], (5, 95))
        first = tops.count(name) / len(tops) if tops else math.nan
        found.append(Importance(metric, evaluator, name, whole[name], float(low), float(high), first))
    return found


def _varied(axes: Sequence[Axis], known: DataFrame) -> list[Axis]:
    """The parameters with more than one value among the trials."""
    return [axis for axis in axes if axis.column in known and known[axis.column].nunique() > 1]


def _once(
    axes: Sequence[Axis], ended: DataFrame, values: Sequence[float], direction: str
) -> dict[str, dict[str, float]]:
    """Shares by parameter, by evaluator, of one sample of trials; no evaluator that the sample is too small for."""
    from optuna import importance

    sizes = [value for value in values if math.isfinite(value)]
    if len(set(sizes)) < 2:
        return {}
    worst = min(sizes) - 1 if direction == "maximize" else max(sizes) + 1
    top = min(max(math.ceil(len(values) / 10), TOP), len(values) // 2, len(sizes))
    filled = [value if math.isfinite(value) else worst for value in values]
    best = importance.PedAnovaImportanceEvaluator(
        target_quantile=top / len(values), region_quantile=1.0, evaluate_on_local=True
    )
    found = {"PED-ANOVA": _shares(best, axes, _study(axes, ended, filled, direction))}
    if len(sizes) >= ENOUGH or len(sizes) == len(values):
        known = ended[[math.isfinite(value) for value in values]]
        forest = importance.FanovaImportanceEvaluator(n_trees=64, max_depth=64, seed=0)
        found["fANOVA"] = _shares(forest, axes, _study(axes, known, sizes, direction))
    return found


def _shares(evaluator: BaseImportanceEvaluator, axes: Sequence[Axis], study: Study) -> dict[str, float]:
    """Shares by parameter; of one that is not asked for in every trial fANOVA says 0."""
    from optuna.importance import get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small samples, whose spread is told instead
        shares = get_param_importances(study, evaluator=evaluator, normalize=True)
    return {axis.name: float(shares.get(axis.name, 0.0)) for axis in axes}


def _study(axes: Sequence[Axis], known: DataFrame, values: Sequence[float], direction: str) -> Study:
    """The trials as a study of one goal, in memory."""
    import optuna
    from pandas import notna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=optuna.study.StudyDirection[direction.upper()])
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
