"""Importances of a sweep's parameters, with their spread over bootstraps of the trials."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dupl.report.sweep.memory_study import memory_study
from dupl.report.sweep.trials import Goals, goal_values, state_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.importance import BaseImportanceEvaluator
    from optuna.trial import FrozenTrial

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
        parameter: Its name.
        value: Share of all parameters, 0 to 1.
        low, high: From the 5th to the 95th percentile over bootstraps of the trials.
        first: Share of bootstraps in which it matters most.
    """

    metric: str
    evaluator: str
    parameter: str
    value: float
    low: float
    high: float
    first: float


def importances(
    goals: Goals,
    names: Iterable[str],
    ended: Sequence[FrozenTrial],
    bootstraps: int,
    progress: Callable[[int, int], None],
) -> tuple[Importance, ...]:
    """Return PED-ANOVA and fANOVA of each goal, with their spread over bootstraps of the trials.

    PED-ANOVA (Watanabe et al., 2023) asks what the best trials have in common: a tenth of them, at least five, at most
    half and all that are complete; a pruned trial counts as one of the others. fANOVA (Hutter et al., 2014) asks how
    the mean over all other parameters varies with one, from complete trials. Both are Optuna's, in shares that add up
    to 1; a bootstrap draws as many trials with replacement. Of more than ``MOST`` trials a sample of ``MOST`` stands
    for all, and bootstraps are of that size; the spread is then that of ``MOST`` trials, wider than that of all.

    Args:
        goals: Metric and direction of each.
        names: Of the parameters.
        ended: Of `judged`.
        bootstraps: How many.
        progress: Called with the bootstraps done and in all.
    """
    import numpy as np

    names, rng = varied(names, ended), np.random.default_rng(0)
    size = min(len(ended), MOST)
    whole_sample = np.arange(size) if size == len(ended) else np.sort(rng.permutation(len(ended))[:size])
    draws = [rng.integers(0, len(ended), size) for _ in range(bootstraps)]
    found: list[Importance] = []
    total, done = len(goals) * (1 + bootstraps), 0
    for goal, (metric, direction) in enumerate(goals):
        reached = goal_values(ended, goal)
        values = [v if state_of(t) == "complete" else math.nan for t, v in zip(ended, reached, strict=True)]
        rounds = []
        for draw in [whole_sample, *draws]:
            rounds.append(_once(names, [ended[k] for k in draw], [values[k] for k in draw], direction))
            done += 1
            progress(done, total)
        for evaluator in EVALUATORS:
            whole, *others = (one.get(evaluator, {}) for one in rounds)
            found += _spread(metric, evaluator, whole, [one for one in others if one])
    return tuple(found)


def _spread(
    metric: str, evaluator: str, whole: Mapping[str, float], others: Sequence[Mapping[str, float]]
) -> list[Importance]:
    """Return the shares of all trials with their spread over the bootstraps, largest first."""
    import numpy as np

    found, tops = [], [max(one, key=one.__getitem__) for one in others]
    for name in sorted(whole, key=lambda name: -whole[name]):
        low, high = np.percentile([one[name] for one in others] or [math.nan], (5, 95))
        first = tops.count(name) / len(tops) if tops else math.nan
        found.append(Importance(metric, evaluator, name, whole[name], float(low), float(high), first))
    return found


def varied(names: Iterable[str], trials: Sequence[FrozenTrial]) -> list[str]:
    """Return the parameters that have more than one value among the trials."""
    return [name for name in names if len({trial.params[name] for trial in trials if name in trial.params}) > 1]


def _once(
    names: Sequence[str], ended: Sequence[FrozenTrial], values: Sequence[float], direction: str
) -> dict[str, dict[str, float]]:
    """Return shares by parameter, by evaluator, of one sample; without the evaluators for which it is too small."""
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
    found = {"PED-ANOVA": _shares(best, names, memory_study(ended, filled, direction, names))}
    if len(sizes) >= ENOUGH or len(sizes) == len(values):
        known = [trial for trial, value in zip(ended, values, strict=True) if math.isfinite(value)]
        forest = importance.FanovaImportanceEvaluator(n_trees=64, max_depth=64, seed=0)
        found["fANOVA"] = _shares(forest, names, memory_study(known, sizes, direction, names))
    return found


def _shares(evaluator: BaseImportanceEvaluator, names: Sequence[str], study: Study) -> dict[str, float]:
    """Return shares by parameter; fANOVA gives 0 to one that some trials do not have."""
    from optuna.importance import get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small samples: the spread shows what they are worth
        shares = get_param_importances(study, evaluator=evaluator, normalize=True)
    return {name: float(shares.get(name, 0.0)) for name in names}
