"""What a sweep found: its best trials, its front, and how much each parameter matters, as far as the trials tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dupl.report.sweep.importance import ENOUGH, EVALUATORS, MOST, Importance, importances, varied
from dupl.report.sweep.trials import SweepOutline, complete, front, judged, ranked

if TYPE_CHECKING:
    from pandas import DataFrame


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
        sampled: Trials of each sample behind importances, where there are more of them; else 0.
    """

    outline: SweepOutline
    trials: DataFrame
    best: tuple[int, ...]
    importances: tuple[Importance, ...] = ()
    missing: str = ""
    bootstraps: int = 0
    sampled: int = 0

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
    if len(varied(outline.axes, ended)) < 2:
        return SweepReport(outline, trials, best, missing="of fewer than two parameters there is nothing to weigh")
    found = importances(outline, ended, bootstraps, progress) if len(lacking) < len(EVALUATORS) else ()
    return SweepReport(outline, trials, best, found, "; ".join(lacking), bootstraps, MOST if len(ended) > MOST else 0)
