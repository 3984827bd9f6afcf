"""Bring the trials of a study to their end, as runs of the store.

Who works on a trial holds its lock beside the studies, whatever the study's storage is: of several workers, on any
hosts that share the store, one has the trial, and when that one dies another goes on with it. What was decided stands
in the study, what was trained in the run's folder; a worker keeps nothing that matters.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.config.prefix import first_effects
from dupl.errors import Held, RunError, UserError
from dupl.execute.executor import Executor
from dupl.execute.job import Job, plan_jobs, write_configs
from dupl.execute.scheduler import KILL, Rules
from dupl.execute.signals import Signals
from dupl.execute.stages import share
from dupl.execute.trial import Attempt, Bench, News
from dupl.lock import hold
from dupl.plans.patience import give_up
from dupl.plans.plan import PlannedRun
from dupl.plans.space import grid
from dupl.plans.study import FOLDER, STATES, open_study
from dupl.plans.sweep import Sweep
from dupl.runs.store import RunStore

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

Plan = Callable[[PlannedRun, Path | None], Job]


@contextmanager
def hold_trial(root: str | Path, study: str, number: int | None, ttl: float) -> Iterator[None]:
    """Keep other workers from a trial meanwhile; from the whole study where the number is None.

    Raises:
        Held: Another one is at work on it.
    """
    name, what = (f".{study}.lock", "this study") if number is None else (f".{study}-{number:05d}.lock", "this trial")
    with hold(Path(root) / FOLDER, lambda _: None, ttl, name=name, what=what):
        yield


def prepare(sweep: Sweep, study: Study, root: str | Path, count: int, ttl: float) -> None:
    """Put as many trials into the study as there are to be, the points to start from first.

    One caller at a time does so, and the next repairs what one that was killed in the middle left.

    Args:
        sweep: Of which.
        study: Its study.
        root: The store.
        count: Trials in all; those that broke a constraint do not count.
        ttl: Seconds after which another caller counts as dead.
    """
    while True:
        try:
            with hold_trial(root, study.study_name, None, ttl):
                return _enqueue(sweep, study, count)
        except Held:
            time.sleep(0.1)


def _enqueue(sweep: Sweep, study: Study, count: int) -> None:
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


class Worker:
    """Take one trial after another, until the study has none left or the worker is told to halt.

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
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.env = dict(env or {})
        study, rules = open_study(sweep, storage, root), replace(rules, max_failed=1.0)
        self.bench = Bench(sweep, study, storage, Path(root), executor, rules, halt, tell, plan or self._plan)

    def _plan(self, run: PlannedRun, found: Path | None) -> Job:
        bench = self.bench
        write_configs([run], bench.root)
        places = {run.fingerprint: found} if found is not None else None
        job = plan_jobs([run], bench.root, processes=max(1, bench.executor.gpus), found=places)[0]
        if found is None:
            job = self._shared(job, run)
        return replace(job, env={**self.env, "DUPL_PLAN": bench.sweep.study, "DUPL_ROW": run.row})

    def _shared(self, job: Job, run: PlannedRun) -> Job:
        """Let a trial begin as the run of the store with the longest shared beginning, and serve later trials."""
        (job,) = share([job], {job.fingerprint: run.values}, RunStore(self.bench.root).runs())
        paths = [path for parameter in self.bench.sweep.space.values() for path in parameter.paths]
        return job.keeping(t for t in first_effects(run.values, paths) if t > job.fork)

    def run(self) -> None:
        """Work. Trials that others have are waited for, as they may be left behind."""
        halt, rules = self.bench.halt, self.bench.rules
        while not halt.is_set() and (unfinished := self._unfinished()):
            for trial in unfinished:
                if halt.is_set():
                    return
                try:
                    with hold_trial(self.bench.root, self.bench.study.study_name, trial.number, rules.ttl):
                        Attempt(self.bench, trial.number).run()
                        break
                except Held:
                    continue
            else:
                halt.wait(rules.poll)

    def _unfinished(self) -> list[FrozenTrial]:
        """Return the trials that have not ended, those begun first."""
        from optuna.trial import TrialState

        found = self.bench.study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
        return sorted(found, key=lambda trial: (trial.state != TrialState.RUNNING, trial.number))

    def kill(self) -> None:
        """Kill the run at work."""
        if (scheduler := self.bench.scheduler) is not None:
            scheduler.kill()


def carry_out(
    sweep: Sweep,
    storage: BaseStorage,
    root: str | Path,
    executors: Sequence[Executor],
    rules: Rules,
    tell: Callable[[News], None] = lambda _: None,
    plan: Plan | None = None,
    max_failed: int | None = None,
    env: Mapping[str, str] | None = None,
) -> str | None:
    """Work on a study that is prepared, with one worker for each executor, until all its trials have ended.

    The first SIGINT or SIGTERM saves what runs. The second kills it, and ends the work shortly after, also where the
    study's storage does not answer. Either way the trials can be gone on with.

    Args:
        sweep: Of which.
        storage: Of the study.
        root: The store.
        executors: Each for one run at a time.
        rules: Of the runs.
        tell: Called with everything that happens, by any thread.
        plan: As of `Worker`.
        max_failed: Failed trials with more of which it ends; None is no limit.
        env: Variables of the environment of the runs.

    Returns:
        Why it ended before that: "interrupted", or a line. None where it did not.

    Raises:
        RunError: The study's storage failed, or the machine failed a trial, which is kept.
    """
    halt, errors, failed, lock = threading.Event(), list[BaseException](), list[int](), threading.Lock()
    lost = list[News]()

    def note(news: News) -> None:
        with lock:
            if news.what == "failed":
                failed.append(news.number)
                if max_failed is not None and len(failed) > max_failed:
                    halt.set()
            if news.what == "lost":
                lost.append(news)
                halt.set()
            tell(news)

    def work(worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:
            errors.append(error)
            halt.set()

    workers = [Worker(sweep, storage, root, one, rules, halt, note, plan, env) for one in executors]
    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    with Signals() as signals:
        for thread in threads:
            thread.start()
        ends_by = math.inf
        while any(thread.is_alive() for thread in threads) and time.monotonic() < ends_by:
            if signals.count:
                halt.set()
            if signals.count > 1:
                ends_by = min(ends_by, time.monotonic() + KILL)
                give_up(storage)
                for worker in workers:
                    worker.kill()
            time.sleep(min(0.2, rules.poll))
        stopped, killed = signals.count > 0, signals.count > 1
    for error in () if killed else errors:
        if isinstance(error, (UserError, RunError)):
            raise error
        raise RunError(f"the study's storage failed: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if lost and not killed:
        raise RunError(
            f"trial {lost[0].number} could not be trained, by no fault of its own ({lost[0].text}): "
            "fix the cause; --continue goes on with it, with its number and values"
        )
    if max_failed is not None and len(failed) > max_failed:
        return f"{len(failed)} trials failed"
    return "interrupted" if stopped else None


def counts(study: Study) -> dict[str, int]:
    """Count the trials in each state."""
    states = [STATES[trial.state.name] for trial in study.get_trials(deepcopy=False)]
    return {state: states.count(state) for state in STATES.values() if state in states}
