"""Bring one trial from its point to its end: a run of the store whose evaluations are told to the study."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.execute.executor import Executor
from dupl.execute.job import Job
from dupl.execute.progress import Progress
from dupl.execute.scheduler import Rules, Scheduler
from dupl.plans.parameter import Params
from dupl.plans.plan import PlannedRun
from dupl.plans.samplers import make_sampler
from dupl.plans.space import suggest
from dupl.plans.sweep import Sweep
from dupl.plans.sweep_file import HOURS
from dupl.plans.wilcoxon import AT
from dupl.runs.evaluation import trained_evaluations
from dupl.runs.run import Run
from dupl.runs.store import RunStore

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

REDRAWS = 50  # of a point that breaks a constraint


@dataclass(frozen=True)
class News:
    """What happened to a trial.

    Attributes:
        number: Of the trial.
        what: started, resumed, evaluated, complete, pruned, failed, interrupted, or lost (to the machine).
        text: More of it, for people.
    """

    number: int
    what: str
    text: str = ""

    def __str__(self) -> str:
        """Return it as a line."""
        return f"trial {self.number} {self.what}" + (f": {self.text}" if self.text else "")


@dataclass
class Bench:
    """What a worker on a study has at hand for each of its trials.

    Attributes:
        sweep, study, storage: Of which.
        root: The store.
        executor: A place for one run at a time.
        rules: Of its runs.
        halt: Set, the worker saves what runs and ends.
        tell: Called with everything that happens.
        plan: The job of a run, given the folder it has in the store, if any.
        scheduler: Of the run at work; None between two.
    """

    sweep: Sweep
    study: Study
    storage: BaseStorage
    root: Path
    executor: Executor
    rules: Rules
    halt: threading.Event
    tell: Callable[[News], None]
    plan: Callable[[PlannedRun, Path | None], Job]
    scheduler: Scheduler | None = None


class Attempt:
    """The work on one trial, whose lock the caller holds.

    Args:
        bench: Of the worker.
        number: Of the trial.
    """

    def __init__(self, bench: Bench, number: int) -> None:
        self.bench, self.number = bench, number
        self.sweep, self.study, self.storage = bench.sweep, bench.study, bench.storage
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        self.id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
        self.drawn: Trial | None = None
        self.reported: set[int] = set()
        self.fresh = False  # whether there is an evaluation that the pruner has not seen
        self.why = ""  # the run is to stop

    def run(self) -> bool:
        """Work on the trial; return whether it has ended."""
        from optuna.trial import TrialState

        trial = self.trial()
        if trial.state.is_finished():  # between the look and the lock
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
        if self.drawn is not None:
            for one, by in zip(self.sweep.constraints, broken, strict=True):
                self.drawn.set_constraint(one.text, by)
        if any(broken):
            return self._refuse(planned, broken)
        return self._train(planned, resumed="run" in trial.user_attrs)

    def trial(self) -> FrozenTrial:
        """Return the trial as it stands in the study."""
        return self.storage.get_trial(self.id)

    def _draw(self) -> Params:
        from optuna import Trial

        self.study.sampler = make_sampler(self.sweep.sampler, self.number)
        self.drawn = Trial(self.study, self.id)
        return suggest(self.sweep.space, self.drawn)

    def _note(self, **facts: Any) -> None:
        for key, value in facts.items():
            self.storage.set_trial_user_attr(self.id, key, value)

    def _refuse(self, planned: PlannedRun, broken: Sequence[float]) -> bool:
        """End a trial that breaks a constraint, and have another one drawn in its place."""
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
        stored = RunStore(self.bench.root).find(planned.fingerprint)
        job = self.bench.plan(planned, stored.path if stored is not None else None)
        cached = stored is not None and job.todo(stored.path) is None
        facts: dict[str, Any] = {"run": planned.fingerprint, "folder": job.folder}
        self._note(**facts, **({"cached": True} if cached and not resumed else {}))
        what = "resumed" if resumed or (stored is not None and not cached) else "started"
        self._say(what, planned.row + (", trained before" if cached else ""))
        scheduler = Scheduler([job], self.bench.executor, self.bench.rules, self._look)
        self.bench.scheduler = scheduler
        try:
            scheduler.run()
        finally:
            self.bench.scheduler = None
        progress = scheduler.progress[0]
        if progress.state == "finished":
            return self._complete(progress)
        if progress.state == "failed" and progress.ends[-1].lost:  # the trial stays as it is, to be gone on with
            self._say("lost", progress.errors[-1])
            return False
        if progress.state == "failed":
            return self._end("failed", progress.errors[-1] if progress.errors else "it failed", progress)
        if self.why == "pruned":
            return self._end("pruned", self.trial().user_attrs.get("reason", ""), progress)
        self._say("interrupted")
        return False

    def _look(self, progress: list[Progress]) -> None:
        """Report evaluations at every look at the run, and stop it where that is due."""
        (p,) = progress
        assert self.bench.scheduler is not None
        if self.why:
            return
        if self.bench.halt.is_set():
            self.why = "interrupted"
        elif self._poor(p):
            self.why = "pruned"
            step = max(self.reported)
            self._note(reason=f"pruned at evaluation {step} of {self.sweep.evaluations}", prune=True)
        if self.why:
            self.bench.scheduler.stop(self.why)

    def _poor(self, p: Progress) -> bool:
        """Report what is new, and ask the pruner once the run is in this worker's hands."""
        self.fresh = self._report(p.folder) or self.fresh
        if not self.fresh or p.state != "running":
            return False
        self.fresh = False
        if max(self.reported) >= self.sweep.evaluations:  # nothing is left to save
            return False
        return self.study.pruner.prune(self.study, self.trial())

    def _report(self, folder: Path) -> bool:
        """Tell the study of evaluations that are new; return whether there was one."""
        if len(self.sweep.goal) > 1:
            return False
        metric, new = self.sweep.goal[0][0], False
        for one in trained_evaluations(folder):
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

    def _complete(self, progress: Progress) -> bool:
        """Tell the study the goal of a finished run."""
        from optuna.trial import TrialState

        self._report(progress.folder)
        found = trained_evaluations(progress.folder)
        last = found[-1].metrics if found else {}
        hours = Run(progress.folder).status.whole_seconds / 3600 * max(1, self.bench.executor.gpus)
        values = [hours if metric == HOURS else last.get(metric) for metric, _ in self.sweep.goal]
        for (metric, _), value in zip(self.sweep.goal, values, strict=True):
            if value is None:
                known = f"only {', '.join(sorted(last))}" if last else "nor anything else: has the search split masks?"
                return self._end("failed", f"its last evaluation has no {metric}, {known}", progress)
            if not math.isfinite(value):
                return self._end("failed", f"its {metric} is no number", progress)
        self._measure(progress)
        self._note(reason="")  # it may have been at its end when it was to be pruned
        told = [float(value) for value in values if value is not None]
        self.study.tell(self.number, told, TrialState.COMPLETE, skip_if_finished=True)
        self._say("complete", ", ".join(f"{m} {v:.4g}" for (m, _), v in zip(self.sweep.goal, values, strict=True)))
        return True

    def _end(self, state: str, reason: str, progress: Progress | None = None) -> bool:
        """Tell the study that the trial has no value."""
        from optuna.trial import TrialState

        self._note(reason=reason)
        if progress is not None:
            self._measure(progress)
        ended = TrialState.PRUNED if state == "pruned" else TrialState.FAIL
        self.study.tell(self.number, state=ended, skip_if_finished=True)
        self._say(state, reason)
        return True

    def _measure(self, progress: Progress) -> None:
        run = Run(progress.folder)
        if run.exists():
            status = run.status
            self._note(folder=str(progress.folder), iteration=status.iteration, seconds=status.seconds)

    def _say(self, what: str, text: str = "") -> None:
        self.bench.tell(News(self.number, what, text))
