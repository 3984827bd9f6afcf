"""What training costs: seconds per iteration and per evaluation, from the most similar runs of a store.

The rule. Runs count that are finished or at least half done, and that agree with the config in network, CAM scales,
kind of training data, crop, batch, images per loss, precision and device. Of these, runs on this
host count before those on others. Of these, the nearest count: those with the fewest components of another type, then
with the fewest other differences (a threshold, when a component starts, the number of iterations). Seed, optimiser
settings, weights of the loss and what a fingerprint ignores make no difference. The pace is the median of the nearest.

So the runs of the same recipe decide where there are any, whatever their seeds. A row of an ablation that was never
run is given the pace of the row most like it: a median over all rows would mix one student with two, which take half
and twice the time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any

from dupl.runs.similar import Similar
from dupl.runs.stored_run import StoredRun
from dupl.runs.workload import Workload, workload_of

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


class Ledger:
    """Measure configs by the same runs; what is read of a run is read once, and only where a config asks for it.

    Args:
        runs: To measure by.
    """

    def __init__(self, runs: Iterable[StoredRun]) -> None:
        self.runs = list(runs)
        self._paces: dict[Any, Pace | None] = {}  # by workload
        self._medians: dict[int, tuple[float, float]] = {}  # by the identity of lists that `_similar` keeps

    def measure(self, values: Config | Mapping[str, Any]) -> Pace | None:
        """Return the pace of a config by the rule above; None where no run is similar.

        Args:
            values: The resolved config, or its plain values.
        """
        asked = workload_of(values)
        if asked.key not in self._paces:
            group = self._similar.get(asked.must)
            self._paces[asked.key] = self._pace(*group.nearest(asked)) if group is not None else None
        return self._paces[asked.key]

    def final_seconds(self, values: Config | Mapping[str, Any]) -> float | None:
        """Return the median time of the final protocol over runs with the same network and kind of data.

        Args:
            values: The resolved config, or its plain values.

        Returns:
            None where there is none.
        """
        spent = self._finals.get(workload_of(values).must)
        return median(spent) if spent else None

    def _pace(self, runs: Sequence[StoredRun], exact: bool) -> Pace:
        """Return the median pace of runs; equal ones are asked for many configs."""
        if id(runs) not in self._medians:
            iteration = median(run.seconds_per_iteration or 0.0 for run in runs)
            self._medians[id(runs)] = iteration, evaluation_seconds(runs[:ENOUGH])
        return Pace(*self._medians[id(runs)], len(runs), exact)

    @cached_property
    def _similar(self) -> dict[str, Similar]:
        """The runs that count, by what must agree."""
        found = defaultdict[str, list[tuple[StoredRun, Workload]]](list)
        for run in self.runs:
            if _far(run) and run.seconds_per_iteration and (own := run.workload) is not None:
                found[own.must].append((run, own))
        return {must: Similar(members) for must, members in found.items()}

    @cached_property
    def _finals(self) -> dict[str, list[float]]:
        """Seconds of evaluations by the final protocol, by what must agree."""
        found = defaultdict[str, list[float]](list)
        for run in self.runs:
            spent = [one.seconds for one in run.evaluations if one.protocol == "final" and one.seconds]
            if spent and run.workload is not None:
                found[run.workload.must] += spent
        return found


def evaluation_seconds(runs: Iterable[StoredRun]) -> float:
    """Return the median time of one evaluation during training; 0 where the runs made none."""
    spent = [one.seconds for run in runs for one in run.evaluations if one.trained and one.seconds is not None]
    return median(spent) if spent else 0.0


def _far(run: StoredRun) -> bool:
    status = run.status
    return status.state == "finished" or (status.iterations is not None and 2 * status.iteration >= status.iterations)
