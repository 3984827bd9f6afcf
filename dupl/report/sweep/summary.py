"""What the trials of a sweep tell: the best of them, and how much each parameter matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dupl.report.sweep.importance import ENOUGH, EVALUATORS, MOST, Importance, importances, varied
from dupl.report.sweep.trials import Goals, complete, front, judged, ranked

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from dupl.plans.parameter import Parameter
    from dupl.plans.sweep import Sweep


@dataclass(frozen=True)
class SweepReport:
    """Everything that the report of a sweep shows.

    Attributes:
        sweep: What was searched.
        trials: Of its study, by number.
        best: Numbers of complete trials, best first; with several goals the front, along the first goal.
        importances: Largest first within each goal and evaluator.
        missing: Why an evaluator has no importances; "" where all have.
        bootstraps: Behind their spread.
        sampled: Trials of each sample behind importances, where there are more of them; else 0.
        facts: Provenance by name: recipe, sampler, pruner, study, command.
    """

    sweep: Sweep
    trials: Sequence[FrozenTrial]
    best: tuple[int, ...]
    importances: tuple[Importance, ...] = ()
    missing: str = ""
    bootstraps: int = 0
    sampled: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def goals(self) -> Goals:
        """Metric and direction of each goal."""
        return self.sweep.goal

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters in the order of the sweep."""
        return tuple(self.sweep.space.values())

    @property
    def complete(self) -> list[FrozenTrial]:
        """The trials that ended with a value for every goal."""
        return complete(self.goals, self.trials)

    @property
    def start(self) -> FrozenTrial | None:
        """The trial at the point from which the search began; None where there is none."""
        return self.trials[0] if self.sweep.start_from and self.trials else None


def report(
    sweep: Sweep,
    trials: Sequence[FrozenTrial],
    top: int = 5,
    bootstraps: int = 50,
    progress: Callable[[int, int], None] = lambda done, total: None,
    facts: Mapping[str, str] | None = None,
) -> SweepReport:
    """Report what trials tell.

    Args:
        sweep: What was searched.
        trials: Of its study, by number.
        top: How many of the best to list, for a single goal.
        bootstraps: For the spread of importances.
        progress: Called with the bootstraps done and in all.
        facts: Provenance by name.
    """
    known, ended = complete(sweep.goal, trials), judged(sweep.goal, trials)
    best = front(sweep.goal, known) if len(sweep.goal) > 1 else ranked(sweep.goal, known)[:top]
    lacking = [
        f"{name} needs {ENOUGH} trials that {what}: there are {len(part)}"
        for name, part, what in (("PED-ANOVA", ended, "ended"), ("fANOVA", known, "are complete"))
        if len(part) < ENOUGH
    ]
    facts = facts or {}
    if len(varied(sweep.space, ended)) < 2:
        return SweepReport(sweep, trials, best, missing="importances need two parameters that vary", facts=facts)
    enough = len(lacking) < len(EVALUATORS)
    found = importances(sweep.goal, sweep.space, ended, bootstraps, progress) if enough else ()
    sampled = MOST if len(ended) > MOST else 0
    return SweepReport(sweep, trials, best, found, "; ".join(lacking), bootstraps, sampled, facts)
