"""Brings the trials of a study to their end, as runs of the store.

A trial is claimed by a lease beside those of runs, whatever the study's storage is: of several workers, on any hosts
that share the store, one has it, and when that one dies another goes on with the same trial. What was decided stands
in the study, what was trained in the run's folder; a worker keeps nothing that matters.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import RunError, UserError
from dupl.lab.evaluations import Evaluation, read_evaluations
from dupl.lab.execute.executor import Executor
from dupl.lab.execute.job import Job, plan_jobs, write_configs
from dupl.lab.execute.lease import Lease, Leases
from dupl.lab.execute.schedule import Progress, Rules, Schedule, Signals
from dupl.lab.plan import PlannedRun
from dupl.lab.run import Run
from dupl.lab.store import RunStore
from dupl.lab.sweep import HOURS, Sweep
from dupl.lab.sweep_space import Params, grid, suggest
from dupl.lab.sweep_study import STATES, make_sampler, open_study
from dupl.lab.sweep_wilcoxon import AT

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

REDRAWS = 50  # of a point that breaks a constraint
Plan = Callable[[PlannedRun, Path | None], Job]


@dataclass(frozen=True)
class News:
    """What happened to a trial.

    Attributes:
        number: Of the trial.
        what: started, resumed, evaluated, complete, pruned, failed or interrupted.
        text: More of it, for people.
    """

    number: int
    what: str
    text: str = ""


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


class Attempt:
    """One worker's work on one trial."""

    def __init__(self, worker: Worker, number: int, lease: Lease) -> None:
        self.worker, self.number, self.lease = worker, number, lease
        self.sweep, self.study, self.storage = worker.sweep, worker.study, worker.storage
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        self.id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
        self.schedule: Schedule | None = None
        self.reported: set[int] = set()
        self.fresh = False  # whether there is an evaluation that the pruner has not seen
        self.why = ""  # the run is to stop

    def run(self) -> bool:
        """Whether the trial has ended."""
        from optuna.trial import TrialState

        trial = self.trial()
        if trial.state.is_finished():  # between the look and the lease
            return True
        if trial.state == TrialState.WAITING:
            self.storage.set_trial_state_values(self.id, TrialState.RUNNING)
        if "reason" in trial.user_attrs and "prune" in trial.user_attrs:  # decided, and then its worker died
            return self._end("pruned", trial.user_attrs["reason"])
        try:
            params = trial.params if "run" in trial.user_attrs else self._draw()
            planned = self.sweep.run(params)
        except UserError as error:
            return self._end("failed", str(error))
        broken = self.sweep.violations(planned, params)
        if any(broken):
            return self._refuse(planned, broken)
        return self._train(planned, resumed="run" in trial.user_attrs)

    def trial(self) -> FrozenTrial:
        """As it stands in the study."""
        return self.storage.get_trial(self.id)

    def _draw(self) -> Params:
        from optuna import Trial

        self.study.sampler = make_sampler(self.sweep, self.number)
        return suggest(self.sweep.space, Trial(self.study, self.id))

    def _note(self, **facts: Any) -> None:
        for key, value in facts.items():
            self.storage.set_trial_user_attr(self.id, key, value)

    def _refuse(self, planned: PlannedRun, broken: Sequence[float]) -> bool:
        """Ends a trial that breaks a constraint, and has another one drawn in its place."""
        facts = self.trial().user_attrs
        again = facts.get("again", [])
        self._note(violation=list(broken), run=planned.fingerprint)
        texts = [one.text for one, by in zip(self.sweep.constraints, broken, strict=True) if by]
        others = self.study.get_trials(deepcopy=False)
        replaced = any(other.user_attrs.get("again", [None])[-1] == self.number for other in others)
        if not replaced and len(again) < REDRAWS and self.sweep.sampler["type"] != "grid":
            self.study.enqueue_trial({}, user_attrs={"again": [*again, self.number]})
        return self._end("pruned", f"not run: it breaks {', '.join(texts)}")

    def _train(self, planned: PlannedRun, resumed: bool) -> bool:
        stored = RunStore(self.worker.root).find(planned.fingerprint)
        job = self.worker.plan(planned, stored.path if stored is not None else None)
        cached = stored is not None and job.todo(stored.path) is None
        facts: dict[str, Any] = {"run": planned.fingerprint, "folder": job.folder}
        self._note(**facts, **({"cached": True} if cached and not resumed else {}))
        what = "resumed" if resumed or (stored is not None and not cached) else "started"
        self._say(what, planned.row + (", trained before" if cached else ""))
        self.schedule = Schedule([job], self.worker.executor, self.worker.rules, self._look)
        self.worker.schedule = self.schedule
        try:
            self.schedule.run()
        finally:
            self.worker.schedule = None
        progress = self.schedule.progress[0]
        if self.why == "lost" or not self.lease.keep():
            return False
        if progress.state == "finished":
            return self._complete(progress)
        if progress.state == "failed":
            return self._end("failed", progress.errors[-1] if progress.errors else "it failed", progress)
        if self.why == "pruned":
            return self._end("pruned", self.trial().user_attrs.get("reason", ""), progress)
        self._say("interrupted")
        return False

    def _look(self, progress: list[Progress]) -> None:
        """What is done at every look at the run: the lease is kept, evaluations are reported, and it may be stopped."""
        (p,) = progress
        assert self.schedule is not None
        if self.why:
            return
        if not self.lease.keep():
            self.why = "lost"
        elif self.worker.halt.is_set():
            self.why = "interrupted"
        elif self._poor(p):
            self.why = "pruned"
            step = max(self.reported)
            self._note(reason=f"pruned at evaluation {step} of {self.sweep.evaluations}", prune=True)
        if self.why:
            self.schedule.stop(self.why)

    def _poor(self, p: Progress) -> bool:
        """Reports what is new, and asks the pruner once the run is in this worker's hands."""
        self.fresh = self._report(p.folder) or self.fresh
        if not self.fresh or p.state != "running":
            return False
        self.fresh = False
        return self.study.pruner.prune(self.study, self.trial())

    def _report(self, folder: Path) -> bool:
        """Tells the study of evaluations that are new; whether there was one."""
        if len(self.sweep.goal) > 1:
            return False
        metric, new = self.sweep.goal[0][0], False
        for one in self._evaluations(folder):
            assert one.iteration is not None
            step = self.sweep.step(one.iteration, self.sweep.config)
            if step in self.reported or metric not in one.metrics:
                continue
            at = {**self.trial().user_attrs.get(AT, {}), str(step): one.iteration}
            self._note(**{AT: at, "iteration": one.iteration, "folder": str(folder)})
            self.storage.set_trial_intermediate_value(self.id, step, one.metrics[metric])
            self.reported.add(step)
            self._say("evaluated", f"{metric} {one.metrics[metric]:.2f} at {one.iteration}")
            new = True
        return new

    def _evaluations(self, folder: Path) -> list[Evaluation]:
        """Those that training made, in order."""
        found = [one for one in read_evaluations(folder)[0] if one.protocol == "train" and not one.checkpoint]
        return sorted(found, key=lambda one: one.iteration or 0)

    def _complete(self, progress: Progress) -> bool:
        """Tells the study the goal of a finished run."""
        from optuna.trial import TrialState

        self._report(progress.folder)
        found = self._evaluations(progress.folder)
        last = found[-1].metrics if found else {}
        hours = Run(progress.folder).status.seconds / 3600 * max(1, self.worker.executor.gpus)
        values = [hours if metric == HOURS else last.get(metric) for metric, _ in self.sweep.goal]
        for (metric, _), value in zip(self.sweep.goal, values, strict=True):
            if value is None:
                known = ", ".join(sorted(last)) or "none"
                return self._end("failed", f"its last evaluation has no {metric}, only {known}", progress)
            if not math.isfinite(value):
                return self._end("failed", f"its {metric} is no number", progress)
        self._measure(progress)
        self._note(reason="")  # it may have been at its end when it was to be pruned
        self.study.tell(self.number, [float(v) for v in values if v is not None], TrialState.COMPLETE)
        self._say("complete", ", ".join(f"{m} {v:.4g}" for (m, _), v in zip(self.sweep.goal, values, strict=True)))
        return True

    def _end(self, state: str, reason: str, progress: Progress | None = None) -> bool:
        """Tells the study that the trial has no value."""
        from optuna.trial import TrialState

        self._note(reason=reason)
        if progress is not None:
            self._measure(progress)
        self.study.tell(self.number, state=TrialState.PRUNED if state == "pruned" else TrialState.FAIL)
        self._say(state, reason)
        return True

    def _measure(self, progress: Progress) -> None:
        run = Run(progress.folder)
        if run.exists():
            status = run.status
            self._note(folder=str(progress.folder), iteration=status.iteration, seconds=status.seconds)

    def _say(self, what: str, text: str = "") -> None:
        self.worker.tell(News(self.number, what, text))


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
