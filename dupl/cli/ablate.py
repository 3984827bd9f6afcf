"""``dupl ablate``."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.cli.common import GPUS_PER_RUN, command, recipe_options, stderr, wandb_option
from dupl.errors import RunError, UserError

if TYPE_CHECKING:
    from dupl.execute.eta import Course
    from dupl.execute.executor import Executor
    from dupl.execute.job import Job
    from dupl.execute.scheduler import Progress
    from dupl.plans.plan import Plan, PlannedRun
    from dupl.runs.stored_run import StoredRun


def add_ablate(commands: Any) -> None:
    """Declare ``dupl ablate``."""
    parser = command(
        commands,
        "ablate",
        run_ablate,
        "run a plan: every row with every seed; what is finished is skipped, what was interrupted goes on",
        "  dupl ablate demo_table4 --dry-run                      what would run, what is done, how long it takes\n"
        "  dupl ablate demo_table4 --seeds 0 1 2 --jobs 2         two at once on this machine, each on its cores\n"
        "  dupl ablate table4_components --gpus 0 1 2 3           one run on each GPU\n"
        "  dupl ablate table4_components --gpus 0 1 2 3 --gpus-per-run 2\n"
        "  dupl ablate table4_components --rows full --set schedule.accumulate=2\n"
        "  dupl ablate table4_components --executor ray --address ray://head:10001\n"
        "  dupl ablate table4_components --executor slurm --slurm slurm_partition=gpu timeout_min=600\n",
    )
    parser.add_argument("plan", help="a plan of ablations/, or a file")
    parser.add_argument("--rows", nargs="+", metavar="KEY", help="which rows; all by default")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="which seeds; the plan's by default")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="the store; runs by default")
    parser.add_argument("--dry-run", action="store_true", help="print every run and the time to come; run nothing")
    recipe_options(parser)
    wandb_option(parser, "track the runs, and put the finished table on wandb; by default")
    place = parser.add_argument_group("where")
    place.add_argument("--executor", choices=["local", "ray", "slurm"], default="local", help="local by default")
    place.add_argument("--jobs", type=int, metavar="N", help="runs at once; one per GPU (group) or machine by default")
    place.add_argument("--gpus", nargs="+", metavar="ID", help="which GPUs, or none; all that are visible by default")
    place.add_argument("--gpus-per-run", type=int, metavar="N", help=GPUS_PER_RUN)
    place.add_argument("--cpus-per-run", type=int, metavar="N", help="cores of one run on Ray (1) or Slurm (4)")
    place.add_argument("--address", help="of a Ray cluster; RAY_ADDRESS or this machine by default")
    place.add_argument("--cluster", choices=["slurm", "local"], help="which of submitit's; what it finds by default")
    place.add_argument("--slurm", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="for submitit")
    failing = parser.add_argument_group("when something fails")
    failing.add_argument("--retries", type=int, default=2, metavar="N", help="of a run that failed; 2 by default")
    failing.add_argument("--max-failed", type=float, default=0.3, metavar="SHARE", help="stop beyond; 0.3 by default")
    failing.add_argument("--lease", type=float, default=60.0, metavar="SECONDS", help="of a dead worker; 60 by default")
    failing.add_argument(
        "--hang-after",
        type=float,
        default=30.0,
        metavar="MINUTES",
        help="kill a run that gives no sign of life, the stacks of its threads in its log; 30 by default, 0: never",
    )


def run_ablate(arguments: argparse.Namespace) -> int:
    """``dupl ablate``."""
    from dupl.cli.table_on_wandb import put_finished
    from dupl.config import overrides
    from dupl.execute.eta import course_of
    from dupl.execute.job import plan_jobs, processes_asked, write_configs
    from dupl.plans.plan import load
    from dupl.runs.store import RunStore

    _check(arguments)
    console = stderr()
    plan = load(arguments.plan)
    planned = plan.expand(arguments.rows, arguments.seeds, overrides.parse(arguments.set))
    if arguments.gpus_per_run is None:
        arguments.gpus_per_run = processes_asked(run.config for run in planned)
    store = RunStore(arguments.root)
    runs = store.runs()
    for path, reason in store.skipped:
        console.print(f"passed over {path}: {reason}", soft_wrap=True, markup=False)
    known = {run.fingerprint: run for run in store.best(runs)}
    courses = {run.fingerprint: course_of(run.config, runs) for run in planned}
    executor = None if arguments.dry_run and arguments.executor != "local" else open_executor(arguments)
    gpus = executor.gpus if executor is not None else arguments.gpus_per_run
    final = [column.metric for column in plan.columns if column.protocol == "final"]
    jobs = plan_jobs(
        planned,
        arguments.root,
        final=final,
        processes=max(1, gpus or 1),
        found={fingerprint: run.path for fingerprint, run in known.items()},
    )
    if arguments.dry_run:
        slots = executor.slots if executor is not None else arguments.jobs
        print("\n".join(preview(plan, planned, jobs, known, courses, slots, gpus)))
        return 0
    assert executor is not None
    write_configs(planned, arguments.root)
    began = _carry_out(arguments, _tracked(jobs, arguments.wandb), executor, courses)
    if not arguments.rows:
        put_finished(arguments, plan, planned, began)
    return 0


def _tracked(jobs: Sequence[Job], flag: str | None) -> list[Job]:
    """The jobs, told whether to track their runs, where that was said."""
    modes = {"off": "disabled"}
    return [replace(job, env={**job.env, "WANDB_MODE": modes.get(flag, flag)}) if flag else job for job in jobs]


def _check(arguments: argparse.Namespace) -> None:
    if arguments.wandb:
        from dupl.track.choice import choose

        choose(arguments.wandb)
    for name, least in (("jobs", 1), ("gpus_per_run", 0), ("cpus_per_run", 1), ("retries", 0), ("max_failed", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} {value}: give at least {least}")
    if arguments.lease < 2:
        raise UserError(f"--lease {arguments.lease:g}: give at least 2 seconds")
    if arguments.hang_after < 0:
        raise UserError(f"--hang-after {arguments.hang_after:g}: give minutes, or 0 for never")
    others = {"address": "ray", "cluster": "slurm", "slurm": "slurm"}
    for name, executor in others.items():
        if getattr(arguments, name) and arguments.executor != executor:
            raise UserError(f"--{name} is for --executor {executor}")
    if arguments.executor == "slurm" and arguments.gpus:
        raise UserError("--gpus names GPUs of this machine; with --executor slurm say --gpus-per-run")


def open_executor(arguments: argparse.Namespace) -> Executor:
    """The place to run, as the options say.

    Raises:
        UserError: It is not to be had.
    """
    from dupl.execute.local import LocalExecutor, visible_gpus

    if arguments.executor == "slurm":
        from dupl.execute.slurm import SlurmExecutor

        settings = {key: _literal(value) for key, value in (_pair(text) for text in arguments.slurm)}
        return SlurmExecutor(
            arguments.root,
            jobs=arguments.jobs,
            per_run=arguments.gpus_per_run,
            cpus=arguments.cpus_per_run or 4,
            cluster=arguments.cluster,
            settings=settings,
        )
    gpus = visible_gpus() if arguments.gpus is None else [gpu for gpu in arguments.gpus if gpu != "none"]
    if arguments.executor == "ray":
        from dupl.execute.ray import RayExecutor

        return RayExecutor(arguments.address, arguments.jobs, gpus, arguments.gpus_per_run, arguments.cpus_per_run or 1)
    return LocalExecutor(arguments.jobs, gpus, arguments.gpus_per_run)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--slurm {text}: write KEY=VALUE, such as slurm_partition=gpu")
    return key, value


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def preview(
    plan: Plan,
    planned: Sequence[PlannedRun],
    jobs: Sequence[Job],
    known: Mapping[str, StoredRun],
    courses: Mapping[str, Course],
    slots: int | None,
    gpus: int | None,
) -> list[str]:
    """What ``--dry-run`` prints: rows with their difference from the base, runs with their state, the time to come."""
    by_fingerprint = {job.fingerprint: job for job in jobs}
    shared = f", {len(jobs)} different ones" if len(jobs) < len(planned) else ""
    lines = [f"{plan.name}: {plan.title}", f"{_runs(len(planned))}{shared}; base {plan.base}", ""]
    to_come: dict[str, float | None] = {}
    told: dict[str, str] = {}
    for row in dict.fromkeys(run.row for run in planned):
        mine = [run for run in planned if run.row == row]
        lines.append(row)
        changes = mine[0].changes.items()
        lines += [f"    {path}: {old!r} -> {new!r}" for path, (old, new) in changes] or ["    the base as it is"]
        for run in mine:
            job, stored = by_fingerprint[run.fingerprint], known.get(run.fingerprint)
            text = f"    seed {run.seed}  {run.fingerprint}  "
            if run.fingerprint in told:
                lines.append(f"{text}the same run as {told[run.fingerprint]}")
                continue
            told[run.fingerprint] = row
            lines.append(text + _standing(job, stored, courses[run.fingerprint], to_come))
    return [*lines, "", _to_come(to_come, slots, gpus)]


def _standing(job: Job, stored: StoredRun | None, course: Course, to_come: dict[str, float | None]) -> str:
    """The state of one run; what it will take yet goes into ``to_come``."""
    try:
        todo = job.todo(Path(job.folder))
        seconds = course.seconds(job, Path(job.folder), stored)
    except UserError as error:
        return f"damaged: {error}"
    if todo is None:
        return f"finished  {job.folder}"
    to_come[job.fingerprint] = seconds
    time = "unknown" if seconds is None else f"{seconds / 3600:.2f} h"
    if stored is None:
        return f"to run, {time}"
    from dupl.execute.eta import iteration_now

    state = "trained, to be evaluated" if todo.protocol != "train" else stored.state
    return f"{state} at {iteration_now(stored)} of {course.iterations}, {time} to come  {job.folder}"


def _to_come(to_come: Mapping[str, float | None], slots: int | None, gpus: int | None) -> str:
    if not to_come:
        return "to come: nothing, all is finished"
    known = [seconds / 3600 for seconds in to_come.values() if seconds is not None]
    line = f"to come: {_runs(len(to_come))}"
    if unknown := len(to_come) - len(known):
        line += f", {unknown} of unknown length (no run like them in the store)"
    if not known:
        return f"{line}; hours and GPU hours unknown"
    least = "at least " if unknown else ""
    line += f"; {least}{sum(known):.2f} h of computing"
    if slots is not None:
        line += f", about {max(max(known), sum(known) / min(slots, len(to_come))):.2f} h with {slots} at once"
    if gpus is None:
        return f"{line}, {least}{sum(known):.2f} GPU hours for each GPU of a run"
    return f"{line}, {least}{sum(known) * gpus:.2f} GPU hours"


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


def _carry_out(
    arguments: argparse.Namespace, jobs: Sequence[Job], executor: Executor, courses: Mapping[str, Course]
) -> bool:
    """Run the jobs to their end; whether any was begun.

    Raises:
        RunError: Some failed.
    """
    from dupl.cli.live_table import Board
    from dupl.execute.scheduler import Rules, Schedule

    console = stderr()
    hang = 60 * arguments.hang_after
    rules = Rules(retries=arguments.retries, max_failed=arguments.max_failed, ttl=arguments.lease, hang=hang)
    with Board(console, courses, executor.slots) as board:
        schedule = Schedule(jobs, executor, rules, board)
        why = schedule.run()
    print("\n".join(outcome(schedule.progress)))
    if why == "interrupted":
        raise KeyboardInterrupt
    failed = sum(p.state == "failed" for p in schedule.progress)
    if why is not None:
        raise RunError(f"{why}, more than --max-failed {arguments.max_failed:g} allows: mend it and repeat the command")
    if failed:
        raise RunError(f"{failed} of {len(jobs)} runs failed: mend it and repeat the command, which runs them again")
    return any(p.begun for p in schedule.progress)


def outcome(progress: Sequence[Progress]) -> list[str]:
    """What is printed at the end: how many runs ended how, and why some failed."""
    from dupl.runs.layout import LOG

    states = [p.state for p in progress]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    before = sum(p.state == "finished" and not p.begun for p in progress)
    lines = [f"{_runs(len(progress))}: {counts}" + (f" ({before} had been before)" if before else "")]
    for p in progress:
        if p.state == "failed":
            lines.append(f"failed: {p.job.title}: {p.errors[-1]}  (log: {p.folder / LOG})")
    return lines
