"""The trials of a sweep: which of them count, which are best, and their values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dupl.plans.study import STATES

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from dupl.plans.parameter import Parameter

Goals = tuple[tuple[str, str], ...]  # metric and direction, "maximize" or "minimize"
NONE = "–"


def state_of(trial: FrozenTrial) -> str:
    """Return the state of a trial: "complete", "pruned", "failed", "running" or "waiting"."""
    return STATES[trial.state.name]


def fingerprint_of(trial: FrozenTrial) -> str:
    """Return the fingerprint of a trial's run; "" where it has none."""
    return str(trial.user_attrs.get("run") or "")


def complete(goals: Goals, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that ended with a finite value for every goal."""
    return [
        trial
        for trial in trials
        if state_of(trial) == "complete"
        and len(trial.values or ()) == len(goals)
        and all(map(math.isfinite, trial.values or ()))
    ]


def was_pruned(trial: FrozenTrial) -> bool:
    """Return whether a pruner stopped a trial; one that broke a constraint has the same state, but never started."""
    return state_of(trial) == "pruned" and trial.user_attrs.get("iteration") is not None


def judged(goals: Goals, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the complete trials and, for a single goal, the pruned ones, which were found worse during training."""
    known = {trial.number for trial in complete(goals, trials)}
    return [trial for trial in trials if trial.number in known or (was_pruned(trial) and len(goals) == 1)]


def goal_values(trials: Sequence[FrozenTrial], goal: int) -> list[float]:
    """Return the values of trials by a goal: of a pruned trial its last one, NaN where there is none."""
    return [
        float(trial.values[goal]) if trial.values is not None and len(trial.values) > goal else math.nan
        for trial in trials
    ]


def ranked(goals: Goals, known: Sequence[FrozenTrial]) -> tuple[int, ...]:
    """Return the numbers of complete trials by the first goal, best first; a run counts once, with its first trial."""
    sign = -1 if goals[0][1] == "maximize" else 1
    order = sorted(zip([sign * value for value in goal_values(known, 0)], known, strict=True), key=_by_value)
    first: dict[str, int] = {}
    for _, trial in order:
        first.setdefault(fingerprint_of(trial) or str(trial.number), trial.number)
    return tuple(first.values())


def _by_value(pair: tuple[float, FrozenTrial]) -> tuple[float, int]:
    return pair[0], pair[1].number


def front(goals: Goals, known: Sequence[FrozenTrial]) -> tuple[int, ...]:
    """Return the numbers of complete trials on the Pareto front, along the first goal.

    A trial is on it where no other is at least as good by all goals and better by one.
    """
    signs = [1 if direction == "maximize" else -1 for _, direction in goals]
    points = {
        trial.number: tuple(sign * value for sign, value in zip(signs, trial.values or (), strict=True))
        for trial in known
    }

    def dominated(point: tuple[float, ...]) -> bool:
        return any(o != point and all(a >= b for a, b in zip(o, point, strict=True)) for o in points.values())

    return tuple(number for number in ranked(goals, known) if not dominated(points[number]))


def count_states(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """Return the number of trials by state, of the states that occur."""
    found = [state_of(trial) for trial in trials]
    return {state: found.count(state) for state in STATES.values() if state in found}


def saved_iterations(iterations: int, trials: Sequence[FrozenTrial]) -> tuple[int, int]:
    """Return how many iterations pruning saved, and how many all ended trials would have trained without it.

    Args:
        iterations: Of a trial that is not pruned.
        trials: Of the sweep.
    """
    stopped = [trial for trial in trials if was_pruned(trial)]
    ended = len(stopped) + sum(state_of(trial) == "complete" for trial in trials)
    return sum(max(0, iterations - int(trial.user_attrs["iteration"])) for trial in stopped), iterations * ended


def value_text(parameter: Parameter, value: Any) -> str:
    """Return the value of a parameter as it is printed; a dash where a trial has none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if parameter.type == "int":
        return f"{value:,.0f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
