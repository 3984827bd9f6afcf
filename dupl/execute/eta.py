"""The time remaining of jobs, by what the runs of the store took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from dupl.execute.job import AGAIN, Job
from dupl.plans.plan import PlannedRun
from dupl.runs import ledger, scalars
from dupl.runs.stored_run import StoredRun


@dataclass(frozen=True)
class Observed:
    """What the runs of one call took so far, for runs of which the store knew nothing similar.

    Attributes:
        pace: Median over the runs that have done some iterations; None before there is one.
        final: Median of the evaluations afterwards; None before there is one.
    """

    pace: ledger.Pace | None = None
    final: float | None = None

    @classmethod
    def of(cls, runs: Iterable[StoredRun]) -> Observed:
        """Measure runs as they stand."""
        runs = list(runs)
        paces = [seconds for run in runs if (seconds := pace_now(run)) is not None]
        spent = [one.seconds for run in runs for one in run.evaluations if one.protocol == "final" and one.seconds]
        pace = ledger.Pace(median(paces), ledger.evaluation_seconds(runs), len(paces), exact=False) if paces else None
        return cls(pace, median(spent) if spent else None)


NOTHING = Observed()


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

    def seconds(self, job: Job, folder: Path, run: StoredRun | None, observed: Observed = NOTHING) -> float | None:
        """Return the time remaining of a job, None where no run tells.

        The run's own pace counts first, then that of similar runs of the store, then that of the call's other runs.

        Args:
            job: With its steps.
            folder: Of the run.
            run: As it stands; None before it is created.
            observed: What the runs of this call took so far.
        """
        seconds = 0.0
        for step in job.steps:
            if step.done(folder):
                continue
            if step.protocol == "train":
                part = self._training(run, observed, job.fork)
            elif step.protocol == AGAIN and run is not None:  # as long as those that its training made
                part = ledger.evaluation_seconds([run]) or None
            else:
                part = self.final if self.final is not None else observed.final
            if part is None:
                return None
            seconds += part
        return seconds

    def _training(self, run: StoredRun | None, observed: Observed, fork: int) -> float | None:
        speed = self.pace or observed.pace
        if run is not None and (own := pace_now(run) if speed is None else run.seconds_per_iteration) is not None:
            speed = ledger.Pace(own, speed.evaluation if speed else ledger.evaluation_seconds([run]), 1, exact=True)
        if speed is None:
            return None
        return speed.seconds(self.iterations, self.interval, max(fork, iteration_now(run) if run is not None else 0))


class Courses(Mapping[str, Course]):
    """The courses of planned runs by fingerprint, each measured when it is first asked for.

    Args:
        planned: The runs.
        runs: Of the store, to measure by.
        final: Whether they are evaluated by the final protocol afterwards.
    """

    def __init__(self, planned: Iterable[PlannedRun], runs: Iterable[StoredRun], final: bool = False) -> None:
        self.configs = {run.fingerprint: run.values for run in planned}
        self.ledger, self.final = ledger.Ledger(runs), final
        self.made: dict[str, Course] = {}

    def __getitem__(self, fingerprint: str) -> Course:
        """Return the course of a run."""
        if fingerprint not in self.made:
            values = self.configs[fingerprint]
            self.made[fingerprint] = Course(
                iterations=values["schedule"]["iterations"],
                interval=values["evaluation"]["interval"],
                pace=self.ledger.measure(values),
                final=self.ledger.final_seconds(values) if self.final else None,
            )
        return self.made[fingerprint]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the fingerprints."""
        return iter(self.configs)

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.configs)


def pace_now(run: StoredRun) -> float | None:
    """Return the seconds of an iteration of a run so far; before its first checkpoint, those of its last log line."""
    if run.seconds_per_iteration is not None or run.state != "running":
        return run.seconds_per_iteration
    seconds = scalars.last_row(run.path).get("seconds")
    return float(seconds) if isinstance(seconds, (int, float)) and seconds > 0 else None


def iteration_now(run: StoredRun) -> int:
    """Return how far a run is, by the last row of its scalars; its status knows only the last checkpoint."""
    if run.state != "running":
        return run.status.iteration
    return max(run.status.iteration, scalars.last_iteration(run.path) or 0)
