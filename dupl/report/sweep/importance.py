"""How much each parameter of a sweep matters, and how sure that is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dupl.report.sweep.trials import Axis, SweepOutline, goal_values

if TYPE_CHECKING:
    from optuna import Study
    from optuna.importance import BaseImportanceEvaluator
    from pandas import DataFrame

ENOUGH = 8  # trials; fewer tell nothing of importance
MOST = 200  # trials of a sample: the cost of fANOVA grows with their square
TOP = 5  # trials that PED-ANOVA's best share should hold
EVALUATORS = ("PED-ANOVA", "fANOVA")


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


def importances(
    outline: SweepOutline, ended: DataFrame, bootstraps: int, progress: Callable[[int, int], None]
) -> tuple[Importance, ...]:
    """PED-ANOVA and fANOVA of each goal, with their spread over bootstraps of the trials.

    PED-ANOVA (Watanabe et al., 2023) asks what the best trials have in common: a tenth of them, at least five, at most
    half and all that are complete; a pruned trial counts as one of the others. fANOVA (Hutter et al., 2014) asks how
    the mean over all other parameters varies with one, from complete trials. Both are Optuna's, in shares that add up
    to 1; a bootstrap draws as many trials with replacement. Of more than ``MOST`` trials a sample of ``MOST`` stands
    for all, and bootstraps are of that size; the spread is then that of ``MOST`` trials, wider than that of all.

    Args:
        outline: Of the sweep.
        ended: Of `judged`.
        bootstraps: How many.
        progress: Is told the bootstraps done and in all.
    """
    import numpy as np

    axes, rng = varied(outline.axes, ended), np.random.default_rng(0)
    size = min(len(ended), MOST)
    whole_sample = np.arange(size) if size == len(ended) else np.sort(rng.permutation(len(ended))[:size])
    draws = [rng.integers(0, len(ended), size) for _ in range(bootstraps)]
    found: list[Importance] = []
    total, done = len(outline.goals) * (1 + bootstraps), 0
    for goal, (metric, direction) in enumerate(outline.goals):
        values = np.where(ended["state"] == "complete", goal_values(ended, goal), math.nan)
        rounds = []
        for draw in [whole_sample, *draws]:
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


def varied(axes: Sequence[Axis], known: DataFrame) -> list[Axis]:
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
