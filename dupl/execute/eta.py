"""The time remaining of jobs, by what the runs of the store took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dupl.execute.job import Job
from dupl.runs import ledger, scalars
from dupl.runs.stored_run import StoredRun


@dataclass(frozen=True)
class Course:
    """What a run consists of, and how long each part takes.

    Attributes:
        iterations: In all.
        interval: Of evaluations during training.
        pace: Of the most similar runs; None where no run tells.
        final: Seconds of the evaluation afterwards; None where no run tells.
    """

    iterations: int
    interval: int
    pace: ledger.Pace | None
    final: float | None

    def seconds(self, job: Job, folder: Path, run: StoredRun | None) -> float | None:
        """Return the time remaining of a job, None where no run tells; the run's own pace counts before others'.

        Args:
            job: With its steps.
            folder: Of the run.
            run: As it stands; None before it is created.
        """
        seconds = 0.0
        for step in job.steps:
            if step.done(folder):
                continue
            part = self._training(run) if step.protocol == "train" else self.final
            if part is None:
                return None
            seconds += part
        return seconds

    def _training(self, run: StoredRun | None) -> float | None:
        speed = self.pace
        if run is not None and (own := run.seconds_per_iteration) is not None:
            speed = ledger.Pace(own, speed.evaluation if speed else ledger.evaluation_seconds([run]), 1, exact=True)
        if speed is None:
            return None
        return speed.seconds(self.iterations, self.interval, iteration_now(run) if run is not None else 0)


def course_of(config: Any, runs: Sequence[StoredRun]) -> Course:
    """Return the course of a resolved config, measured by the runs of a store."""
    return Course(
        iterations=config.schedule.iterations,
        interval=config.evaluation.interval,
        pace=ledger.measure(config, runs),
        final=ledger.final_seconds(config, runs),
    )


def iteration_now(run: StoredRun) -> int:
    """Return how far a run is, by the last row of its scalars; its status knows only the last checkpoint."""
    if run.state != "running":
        return run.status.iteration
    return max(run.status.iteration, scalars.last_iteration(run.path) or 0)
