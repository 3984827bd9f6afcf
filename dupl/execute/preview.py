"""What is left to do for a plan, as the lines of ``dupl ablate --dry-run``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dupl.errors import UserError
from dupl.execute.ablation import Ablation
from dupl.execute.eta import Course, iteration_now
from dupl.execute.job import Job
from dupl.execute.tree import tree_lines
from dupl.plans.plan import PlannedRun
from dupl.runs.stored_run import StoredRun
from dupl.terminal import counted

Remaining = dict[str, "float | None"]  # seconds of a run by fingerprint; None where they are not known


def preview(ablation: Ablation) -> list[str]:
    """Return the rows with their difference from the base, the runs with their state, and the time remaining."""
    plan, planned, jobs = ablation.plan, ablation.planned, ablation.jobs
    by_fingerprint = {job.fingerprint: job for job in jobs}
    shared = f", {len(jobs)} different ones" if len(jobs) < len(planned) else ""
    lines = [f"{plan.name}: {plan.title}", f"{counted(len(planned), 'run')}{shared}; base {plan.base}", ""]
    remaining: Remaining = {}
    seen: dict[str, str] = {}  # row by fingerprint
    rows = defaultdict[str, list[PlannedRun]](list)
    for run in planned:
        rows[run.row].append(run)
    for row, mine in rows.items():
        lines.append(row)
        changes = mine[0].changes.items()
        lines += [f"    {path}: {old!r} -> {new!r}" for path, (old, new) in changes] or ["    the base as it is"]
        for run in mine:
            text = f"    seed {run.seed}  {run.fingerprint}  "
            if run.fingerprint in seen:
                lines.append(f"{text}the same run as {seen[run.fingerprint]}")
                continue
            seen[run.fingerprint] = row
            if run.fingerprint in ablation.earlier:
                lines.append(f"{text}a run of an earlier plan of this command")
                continue
            job, stored = by_fingerprint[run.fingerprint], ablation.known.get(run.fingerprint)
            lines.append(text + _state(job, stored, ablation.courses, remaining))
    return [*lines, "", *tree_lines(ablation, remaining), _total(remaining, ablation.slots, ablation.gpus)]


def preview_facts(ablation: Ablation) -> list[dict[str, Any]]:
    """Return every run of a plan as plain values, for other programs: its state, iterations and seconds remaining."""
    by_fingerprint = {job.fingerprint: job for job in ablation.jobs}
    facts = []
    for run in ablation.planned:
        job = by_fingerprint[run.fingerprint]
        stored = ablation.known.get(run.fingerprint)
        remaining: Remaining = {}
        text = _state(job, stored, ablation.courses, remaining)
        done = text.startswith("finished")
        facts.append(
            {
                "plan": run.plan,
                "row": run.row,
                "seed": run.seed,
                "fingerprint": run.fingerprint,
                "folder": str(job.folder),
                "state": "finished" if done else None if stored is None else stored.state,
                "iteration": 0 if stored is None else iteration_now(stored),
                "iterations": ablation.courses[run.fingerprint].iterations,
                "seconds_remaining": 0 if done else remaining.get(run.fingerprint),
                "parent": job.parent,
                "fork": job.fork,
                "changes": {path: new for path, (_, new) in run.changes.items()},
            }
        )
    return facts


def _state(job: Job, stored: StoredRun | None, courses: Mapping[str, Course], remaining: Remaining) -> str:
    """Return the state of one run, and note the time it still takes in ``remaining``."""
    try:
        todo = job.todo(Path(job.folder))
        if todo is None:
            return f"finished  {job.folder}"
        course = courses[job.fingerprint]
        seconds = course.seconds(job, Path(job.folder), stored)
    except UserError as error:
        return f"corrupt: {error}"
    remaining[job.fingerprint] = seconds
    time = "unknown" if seconds is None else f"{seconds / 3600:.2f} h"
    if stored is None:
        return f"to run{f' from iteration {job.fork} on' if job.fork else ''}, {time}"
    state = "trained, to be evaluated" if todo.protocol != "train" else stored.state
    return f"{state} at {iteration_now(stored)} of {course.iterations}, time remaining {time}  {job.folder}"


def _total(remaining: Mapping[str, float | None], slots: int | None, gpus: int | None) -> str:
    if not remaining:
        return "time remaining: none, all runs are finished"
    known = [seconds / 3600 for seconds in remaining.values() if seconds is not None]
    line = f"time remaining: {counted(len(remaining), 'run')}"
    if unknown := len(remaining) - len(known):
        line += f", {unknown} of unknown length (the store has no similar run)"
    if not known:
        return f"{line}; hours and GPU hours unknown"
    least = "at least " if unknown else ""
    line += f"; {least}{sum(known):.2f} h of computing"
    if slots is not None:
        line += f", about {max(max(known), sum(known) / min(slots, len(remaining))):.2f} h with {slots} at once"
    if gpus is None:
        return f"{line}, {least}{sum(known):.2f} GPU hours for each GPU of a run"
    return f"{line}, {least}{sum(known) * gpus:.2f} GPU hours"
