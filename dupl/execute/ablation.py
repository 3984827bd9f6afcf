"""The runs of a plan as jobs: what is left to do, how long that takes, and doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dupl.config.fingerprint import places
from dupl.data.identity import Memo, evaluation_reads
from dupl.errors import RunError
from dupl.execute.eta import Course, Courses
from dupl.execute.executor import Executor
from dupl.execute.job import Job, plan_jobs, write_configs
from dupl.execute.progress import Progress
from dupl.execute.resources import Resources
from dupl.execute.scheduler import Rules, Scheduler
from dupl.execute.stages import share
from dupl.execute.time_remaining import TimeRemaining
from dupl.execute.tracking import tracking_variables
from dupl.plans.plan import Plan, PlannedRun
from dupl.runs.layout import LOG
from dupl.runs.store import RunStore
from dupl.runs.stored_run import StoredRun
from dupl.terminal import counted

Show = Callable[[Sequence[Progress], TimeRemaining], None]


@dataclass(frozen=True)
class Ablation:
    """The runs of a plan, as far as a store does not have them yet.

    Attributes:
        plan: The plan.
        planned: Its runs; rows may share one.
        jobs: One for each different run.
        known: The store's run by fingerprint.
        courses: What each run has to go through, by fingerprint.
        executor: Where they run; None for a dry run elsewhere than on this machine.
        slots: Runs at once; None where it is not known.
        gpus: GPUs of one run; None where it is not known.
        root: The store.
        earlier: Ids of runs that plans before this one train; they are left out of a preview.
    """

    plan: Plan
    planned: Sequence[PlannedRun]
    jobs: Sequence[Job]
    known: Mapping[str, StoredRun]
    courses: Mapping[str, Course]
    executor: Executor | None
    slots: int | None
    gpus: int | None
    root: Path
    earlier: frozenset[str] = frozenset()

    @classmethod
    def prepare(
        cls,
        plan: Plan,
        planned: Sequence[PlannedRun],
        store: RunStore,
        resources: Resources,
        *,
        dry_run: bool = False,
        shared: bool = True,
        before: Sequence[PlannedRun] = (),
        after: Sequence[PlannedRun] = (),
    ) -> Ablation:
        """Compare the runs of a plan with a store.

        Args:
            plan: The plan.
            planned: Its runs.
            store: Where they go, and where finished ones are found.
            resources: Where they are to run.
            dry_run: Whether it is for a preview only; then no cluster is asked.
            shared: Whether runs that share a beginning train it once.
            before: Runs of other plans that will have been trained before, for a preview.
            after: Runs of other plans that will be trained later, which may begin as runs of this one.

        Raises:
            UserError: A package is missing, or numbers of GPUs do not fit together.
        """
        runs = store.runs()
        known = {run.fingerprint: run for run in store.best(runs)}
        after_training, of_best = plan.evaluations(), plan.evaluations("best")
        final = any(protocol == "final" for protocol, _ in [*after_training, *of_best])
        courses = Courses(planned, runs, final=final)
        executor = None if dry_run and resources.executor != "local" else resources.open(store.root)
        gpus = executor.gpus if executor is not None else resources.gpus_per_run
        jobs = plan_jobs(
            planned,
            store.root,
            evaluations=after_training,
            best=of_best,
            processes=max(1, gpus or 1),
            found={fingerprint: run.path for fingerprint, run in known.items()},
            reads=_reads([run for run in planned if run.fingerprint in known]),
        )
        if shared:
            jobs = share(jobs, {run.fingerprint: run.values for run in planned}, runs, before, after)
        slots = executor.slots if executor is not None else resources.jobs
        earlier = frozenset(run.fingerprint for run in before)
        return cls(plan, planned, jobs, known, courses, executor, slots, gpus, Path(store.root), earlier)

    def tracked(self, mode: str | None) -> Ablation:
        """Return the same, with the runs told whether to track themselves; None leaves that to the environment."""
        if mode is None:
            return self
        return replace(self, jobs=[replace(job, env={**job.env, **tracking_variables(mode)}) for job in self.jobs])

    def run(self, rules: Rules | None = None, show: Show = lambda progress, remaining: None) -> Outcome:
        """Run what is left to do, to its end; any number of processes may do so at the same time.

        Args:
            rules: When to try again and when to stop.
            show: Called with the progress of all jobs and their time remaining, about every second.
        """
        if self.executor is None:
            raise ValueError("this ablation was prepared for a dry run")
        write_configs(self.planned, self.root)
        rules, remaining = rules or Rules(), TimeRemaining(self.courses, self.executor.slots)

        def look(progress: list[Progress]) -> None:
            remaining.update(progress)
            show(progress, remaining)

        scheduler = Scheduler(self.jobs, self.executor, rules, look)
        why = scheduler.run()
        return Outcome(scheduler.progress, why, rules.max_failed)


def _reads(planned: Sequence[PlannedRun]) -> dict[str, str | None]:
    """Return the digest of the data of val as they are now, of the runs that have any in files."""
    memo, found = Memo(), dict[str, str | None]()
    for run in planned:
        data = run.values.get("data")
        if isinstance(data, Mapping) and places(data.get("val")):
            found[run.fingerprint] = evaluation_reads(run.values, memo=memo)
    return found


@dataclass(frozen=True)
class Outcome:
    """How the runs of a plan ended.

    Attributes:
        progress: Of each job.
        stopped: Why they were stopped before the end: "interrupted", or a line; None where they were not.
        max_failed: Share of the jobs that may fail.
    """

    progress: Sequence[Progress]
    stopped: str | None
    max_failed: float

    @property
    def began(self) -> bool:
        """Whether any run had to be begun."""
        return any(p.begun for p in self.progress)

    def lines(self) -> list[str]:
        """Return how many runs ended how, and why some failed."""
        states = [p.state for p in self.progress]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        before = sum(p.state == "finished" and not p.begun for p in self.progress)
        lines = [f"{counted(len(states), 'run')}: {counts}" + (f" ({before} were finished before)" if before else "")]
        if saved := [begun.seconds for p in self.progress if p.run and (begun := p.run.status.beginning)]:
            hours = sum(saved) / 3600
            lines.append(f"{counted(len(saved), 'run')} began as another one, which saved {hours:.2f} h of computing")
        failed = (p for p in self.progress if p.state == "failed")
        return [*lines, *(f"failed: {p.job.title}: {p.errors[-1]}  (log: {p.folder / LOG})" for p in failed)]

    def check(self) -> None:
        """Raise what a command reports where not all runs are finished.

        Raises:
            KeyboardInterrupt: They were interrupted.
            RunError: Some failed.
        """
        if self.stopped == "interrupted":
            raise KeyboardInterrupt
        if self.stopped is not None:
            allowed = f"more than max_failed = {self.max_failed:g} allows"
            raise RunError(f"{self.stopped}, {allowed}: fix the cause and repeat the command")
        if failed := sum(p.state == "failed" for p in self.progress):
            total = len(self.progress)
            raise RunError(
                f"{failed} of {counted(total, 'run')} failed: fix the cause and repeat this, which runs them again"
            )
