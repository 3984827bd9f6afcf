"""A planned run and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dupl.plans.plan import PlannedRun
    from dupl.runs.beginning import Beginning
    from dupl.runs.stored_run import StoredRun


@dataclass(frozen=True)
class RowRun:
    """The run of a row and a seed, as far as a store holds it.

    Attributes:
        row: Key of the row.
        seed: Of the run.
        fingerprint: Of its config.
        folder: Where it is; "" where it was never begun.
        state: As its status has it; None where it was never begun.
        iteration, iterations: Done, and in all.
        error: Why it failed.
        beginning: What it took over from another run; None where nothing.
        seconds: Time that its own training took.
        masks: Name of the label maps of another program that stand in the place of a run.
        has_best: Whether training kept best weights.
    """

    row: str
    seed: int
    fingerprint: str
    folder: str = ""
    state: str | None = None
    iteration: int = 0
    iterations: int | None = None
    error: str | None = None
    beginning: Beginning | None = None
    seconds: float = 0.0
    masks: str = ""
    has_best: bool = True

    @classmethod
    def of(cls, planned: PlannedRun, stored: StoredRun | None, error: str | None = None) -> RowRun:
        """Join a planned run with the run of its fingerprint in a store.

        Args:
            planned: The run.
            stored: What the store holds of it; None where there is none.
            error: Why it could not begin.
        """
        if stored is None:
            return cls(planned.row, planned.seed, planned.fingerprint, error=error, masks=planned.masks)
        status = stored.status
        facts = (str(stored.path), stored.state, status.iteration, status.iterations, status.error)
        spent = (status.beginning, status.seconds)
        return cls(planned.row, planned.seed, planned.fingerprint, *facts, *spent, planned.masks, stored.has_best)
