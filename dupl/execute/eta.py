"""How long jobs will take yet, by what the store's runs took."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from dupl.execute.job import Job
from dupl.runs import ledger
from dupl.runs.stored import StoredRun

TAIL = 4096  # bytes at the end of scalars.jsonl that hold the last row


@dataclass(frozen=True)
class Course:
    """What a run has to go through, and how fast that goes.

    Attributes:
        iterations: In all.
        interval: Of evaluations on the way.
        pace: Of the runs most like it; None where nobody can know.
        final: Seconds of the evaluation afterwards; None where nobody can know.
    """

    iterations: int
    interval: int
    pace: ledger.Pace | None
    final: float | None

    def seconds(self, job: Job, folder: Path, run: StoredRun | None) -> float | None:
        """Still to come for a job, None where nobody can know; what the run itself shows counts before others' pace.

        Args:
            job: With the steps that are to be done.
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
            speed = ledger.Pace(own, speed.evaluation if speed else _evaluation_seconds(run), 1, exact=True)
        if speed is None:
            return None
        return speed.seconds(self.iterations, self.interval, iteration_now(run) if run is not None else 0)


def course_of(config: Any, runs: Sequence[StoredRun]) -> Course:
    """The course of a resolved config, measured by the runs of a store."""
    spent = _final_seconds(ledger.work_of(config).must, runs)
    return Course(
        iterations=config.schedule.iterations,
        interval=config.evaluation.interval,
        pace=ledger.measure(config, runs),
        final=median(spent) if spent else None,
    )


def _evaluation_seconds(run: StoredRun) -> float:
    spent = [e.seconds for e in run.evaluations if e.seconds and e.protocol == "train" and not e.checkpoint]
    return median(spent) if spent else 0.0


def _final_seconds(must: str, runs: Iterable[StoredRun]) -> list[float]:
    """What the final protocol took of runs with the same network and kind of data."""
    finals = [(run, e.seconds) for run in runs for e in run.evaluations if e.protocol == "final" and e.seconds]
    return [seconds for run, seconds in finals if run.work is not None and run.work.must == must]


def iteration_now(run: StoredRun) -> int:
    """How far a run is, to the last row of its scalars; its status knows only the last checkpoint."""
    if run.state != "running":
        return run.status.iteration
    try:
        with open(run.path / "scalars.jsonl", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            row = json.loads(file.read().split(b"\n")[-2])
        return max(run.status.iteration, int(row["iter"]))
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return run.status.iteration
