"""Brings the trials of a study to their end, as runs of the store.

A trial is claimed by a lease beside those of runs, whatever the study's storage is: of several workers, on any hosts
that share the store, one has it, and when that one dies another goes on with the same trial. What was decided stands
in the study, what was trained in the run's folder; a worker keeps nothing that matters.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.errors import RunError, UserError
from dupl.execute.executor import Executor
from dupl.execute.job import Job, plan_jobs, write_configs
from dupl.execute.scheduler import Rules, Schedule, Signals
from dupl.execute.trial import Attempt, News
from dupl.plans.plan import PlannedRun
from dupl.plans.space import grid
from dupl.plans.study import STATES, open_study
from dupl.plans.sweep import Sweep
from dupl.runs.lease import Lease, Leases

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

Plan = Callable[[PlannedRun, Path | None], Job]


def lease_name(study: str, number: int) -> str:
    """Under which a trial is claimed."""
    return f"{study}-{number:05d}"


def prepare(sweep: Sweep, study: Study, root: str | Path, count: int, ttl: float) -> None:
    """Puts as many trials into the study as there are to be, the points to start from first.

    One caller at a time does so, and one that was killed in the middle is made good by the next.

    Args:
        sweep: Of which.
        study: Its study.
        root: The store.
        count: Trials in all; those that broke a constraint do not count.
        ttl: Seconds after which another caller is taken for dead.
    """
    leases = Leases(root)
    while (lease := _take(leases, study.study_name, ttl)) is None:
        time.sleep(0.1)
    try:
        have = study.get_trials(deepcopy=False)
        drawn = sum("again" not in trial.user_attrs for trial in have)  # not in another's place
        broke = sum(trial.state.is_finished() and any(trial.user_attrs.get("violation", ())) for trial in have)
        points = list(sweep.start_from)
        if sweep.sampler["type"] == "grid":
            points += [p for p in grid(sweep.space, sweep.sampler["points"]) if p not in points]
            more = min(count, len(points)) - drawn
        else:
            more = count - (len(have) - broke)
        for i in range(drawn, drawn + more):
            study.enqueue_trial(points[i] if i < len(points) else {})
    finally:
        lease.end("finished")


def _take(leases: Leases, name: str, ttl: float) -> Lease | None:
    """A lease that nobody holds, or whose holder is dead."""
    last = leases.last(name)
    over = last.digest if last is not None and last.held and leases.stale(name, last) else ""
    return leases.take(name, uuid.uuid4().hex, "", ttl, over)


class Worker:
    """Takes one trial after another, until the study has none left or it is told to halt.

    Args:
        sweep: Of which.
        storage: Of the study.
        root: The store.
        executor: A place for one run at a time.
        rules: Of its runs.
        halt: Set, it saves what runs and ends.
        tell: Called with everything that happens.
        plan: The job of a run, given the folder it has in the store, if any; ``dupl train`` by default.
    """

    def __init__(
        self,
        sweep: Sweep,
        storage: BaseStorage,
        root: str | Path,
        executor: Executor,
        rules: Rules,
        halt: threading.Event,
        tell: Callable[[News], None] = lambda _: None,
        plan: Plan | None = None,
    ) -> None:
        self.sweep, self.storage, self.root, self.executor = sweep, storage, Path(root), executor
        self.rules = replace(rules, max_failed=1.0)
        self.halt, self.tell, self.plan = halt, tell, plan or self._plan
        self.study = open_study(sweep, storage)
        self.leases = Leases(root)
        self.schedule: Schedule | None = None

    def _plan(self, run: PlannedRun, found: Path | None) -> Job:
        write_configs([run], self.root)
        places = {run.fingerprint: found} if found is not None else None
        job = plan_jobs([run], self.root, processes=max(1, self.executor.gpus), found=places)[0]
        return replace(job, env={"DUPL_PLAN": self.sweep.study, "DUPL_ROW": run.row})

    def run(self) -> None:
        """Works. Trials that others have are waited for, as they may be left behind."""
        while not self.halt.is_set():
            open_ones = self._open()
            if not open_ones:
                return
            for trial in open_ones:
                if self.halt.is_set():
                    return
                if (
                    lease := _take(self.leases, lease_name(self.study.study_name, trial.number), self.rules.ttl)
                ) is None:
                    continue
                self._carry_out(trial.number, lease)
                break
            else:
                self.halt.wait(self.rules.poll)

    def _open(self) -> list[FrozenTrial]:
        """Trials that have not ended, those begun first."""
        from optuna.trial import TrialState

        found = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
        return sorted(found, key=lambda trial: (trial.state != TrialState.RUNNING, trial.number))

    def _carry_out(self, number: int, lease: Lease) -> None:
        """Brings one trial to its end under its lease."""
        try:
            ended = Attempt(self, number, lease).run()
            lease.end("finished" if ended else "interrupted")
        except BaseException:
            lease.end("interrupted")
            raise


def carry_out(
    sweep: Sweep,
    storage: BaseStorage,
    root: str | Path,
    executors: Sequence[Executor],
    rules: Rules,
    tell: Callable[[News], None] = lambda _: None,
    plan: Plan | None = None,
    max_failed: int | None = None,
) -> str | None:
    """Works on a study that is prepared, with one worker for each executor, until all its trials have ended.

    The first SIGINT or SIGTERM saves what runs, the second kills it; either way the trials can be gone on with.

    Args:
        sweep: Of which.
        storage: Of the study.
        root: The store.
        executors: Each for one run at a time.
        rules: Of the runs.
        tell: Called with everything that happens, by any thread.
        plan: As of `Worker`.
        max_failed: Failed trials with more of which it ends; None is no limit.

    Returns:
        Why it ended before that: "interrupted", or a line. None where it did not.

    Raises:
        RunError: The study's storage failed.
    """
    halt, errors, failed, lock = threading.Event(), list[BaseException](), list[int](), threading.Lock()

    def note(news: News) -> None:
        with lock:
            if news.what == "failed":
                failed.append(news.number)
                if max_failed is not None and len(failed) > max_failed:
                    halt.set()
            tell(news)

    def work(worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:
            errors.append(error)
            halt.set()

    workers = [Worker(sweep, storage, root, one, rules, halt, note, plan) for one in executors]
    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    with Signals() as signals:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if signals.count:
                halt.set()
            if signals.count > 1:
                for worker in workers:
                    if worker.schedule is not None:
                        worker.schedule.kill()
            time.sleep(min(0.2, rules.poll))
        stopped = signals.count > 0
    for error in errors:
        if isinstance(error, UserError):
            raise error
        raise RunError(f"the study's storage failed: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if max_failed is not None and len(failed) > max_failed:
        return f"{len(failed)} trials failed"
    return "interrupted" if stopped else None


def counts(study: Study) -> dict[str, int]:
    """How many trials are in which state."""
    states = [STATES[trial.state.name] for trial in study.get_trials(deepcopy=False)]
    return {state: states.count(state) for state in STATES.values() if state in states}
