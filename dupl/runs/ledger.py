"""What training costs: seconds per iteration and per evaluation, from the most similar runs of a store.

The rule. Runs count that are finished or at least half done, and that agree with the config in network, CAM scales,
kind of training data, crop, batch (with its split into micro-batches), precision and device. Of these, runs on this
host count before those on others. Of these, the nearest count: those with the fewest components of another type, then
with the fewest other differences (a threshold, when a component starts, the number of iterations). Seed, optimiser
settings, weights of the loss and what a fingerprint ignores make no difference. The pace is the median of the nearest.

So the runs of the same recipe decide where there are any, whatever their seeds. A row of an ablation that was never
run is given the pace of the row most like it: a median over all rows would mix one student with two, which take half
and twice the time.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from dupl.runs.stored_run import StoredRun
from dupl.runs.workload import workload_of

if TYPE_CHECKING:
    from mmengine.config import Config

ENOUGH = 20  # runs whose evaluations are read for the seconds of one


@dataclass(frozen=True)
class Pace:
    """How long training takes.

    Attributes:
        iteration: Seconds of one iteration, a mean over a whole run with its phases.
        evaluation: Seconds of one evaluation during training; 0 where the runs made none.
        runs: How many runs this is the median of.
        exact: Whether these runs differ from what was asked about in nothing that takes time.
    """

    iteration: float
    evaluation: float
    runs: int
    exact: bool

    def seconds(self, iterations: int, interval: int | None = None, done: int = 0) -> float:
        """Return the time from an iteration to the end, evaluations included.

        Args:
            iterations: Of the whole run.
            interval: Of evaluations, in iterations; None leaves them out.
            done: Iterations that are done.
        """
        evaluations = 0 if interval is None else -(-iterations // interval) - done // interval
        return max(0, iterations - done) * self.iteration + max(0, evaluations) * self.evaluation


def measure(config: Config | Mapping[str, Any], runs: Iterable[StoredRun]) -> Pace | None:
    """Return the pace of a config by the rule above; None where no run is similar.

    Args:
        config: Resolved.
        runs: To measure by.
    """
    asked = workload_of(config)
    similar: list[tuple[bool, tuple[int, int], StoredRun]] = []
    for run in runs:
        if _far(run) and run.seconds_per_iteration and (own := run.workload) and own.must == asked.must:
            similar.append((run.status.host != socket.gethostname(), own.distance(asked), run))
    if not similar:
        return None
    nearest = min(entry[:2] for entry in similar)
    chosen = [run for *rank, run in similar if tuple(rank) == nearest]
    return Pace(
        iteration=median(run.seconds_per_iteration or 0.0 for run in chosen),
        evaluation=evaluation_seconds(chosen[:ENOUGH]),
        runs=len(chosen),
        exact=nearest[1] == (0, 0),
    )


def evaluation_seconds(runs: Iterable[StoredRun]) -> float:
    """Return the median time of one evaluation during training; 0 where the runs made none."""
    spent = [one.seconds for run in runs for one in run.evaluations if one.trained and one.seconds is not None]
    return median(spent) if spent else 0.0


def final_seconds(config: Config | Mapping[str, Any], runs: Iterable[StoredRun]) -> float | None:
    """Return the median time of the final protocol over runs with the same network and kind of data; None without."""
    must = workload_of(config).must
    finals = [(run, one.seconds) for run in runs for one in run.evaluations if one.protocol == "final" and one.seconds]
    spent = [seconds for run, seconds in finals if run.workload is not None and run.workload.must == must]
    return median(spent) if spent else None


def _far(run: StoredRun) -> bool:
    status = run.status
    return status.state == "finished" or (status.iterations is not None and 2 * status.iteration >= status.iterations)
