"""The runs of a plan as a tree of shared beginnings, and what sharing saves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.execute.job import Job
from dupl.runs import layout
from dupl.terminal import counted

if TYPE_CHECKING:
    from dupl.execute.ablation import Ablation


def tree_lines(ablation: Ablation, remaining: Mapping[str, float | None]) -> list[str]:
    """Draw which runs begin as which, and say what that saves in iterations, hours and disk; nothing where none do.

    Args:
        ablation: The runs of a plan.
        remaining: Seconds that each run still takes, by fingerprint; None where that is not known.
    """
    forked = [job for job in ablation.jobs if job.fork]
    if not forked:
        return [*_disk(ablation, remaining), ""]
    total = sum(ablation.courses[name].iterations for name in remaining)
    saved = sum(job.fork for job in forked)
    percent = 100 * saved / total if total else 0.0
    lines = ["shared beginnings (each is trained once; --no-share trains every run from its start):"]
    lines += _drawn(ablation)
    lines.append(f"{saved} of {total} iterations are shared ({percent:.0f} %){_hours(ablation, forked, remaining)}")
    return [*lines, *_disk(ablation, remaining), ""]


def _drawn(ablation: Ablation) -> list[str]:
    children = defaultdict[str, list[Job]](list)
    for job in ablation.jobs:
        if job.fork:
            children[job.parent].append(job)
    lines: list[str] = []

    def draw(job: Job, depth: int) -> None:
        begin = f"from {job.fork}  " if job.fork else ""
        lines.append(f"{'  ' * depth}  {begin}{job.title}")
        for child in sorted(children.get(job.fingerprint, ()), key=lambda one: one.fork):
            draw(child, depth + 1)

    for job in ablation.jobs:
        if not job.fork and job.fingerprint in children:
            draw(job, 0)
    for job in children.get("", ()):
        where = "in the store" if Path(job.begin_from).is_dir() else "of another plan"
        lines.append(f"  from {job.fork} of {Path(job.begin_from).name} {where}  {job.title}")
    return lines


def _hours(ablation: Ablation, forked: list[Job], remaining: Mapping[str, float | None]) -> str:
    """Return the hours of computing with and without shared beginnings; "" where they are not known."""
    hours = sum(seconds / 3600 for seconds in remaining.values() if seconds is not None)
    saved = 0.0
    for job in forked:
        course = ablation.courses[job.fingerprint]
        if course.pace is None:
            return ""
        saved += (
            course.pace.seconds(course.iterations, course.interval)
            - course.pace.seconds(course.iterations, course.interval, job.fork)
        ) / 3600
    return f": {hours:.2f} h of computing instead of {hours + saved:.2f} h"


def _disk(ablation: Ablation, remaining: Mapping[str, float | None]) -> list[str]:
    """Return the disk space and the files that the runs to come will take, checkpoints at forks apart.

    They are those of the largest run that the store has of the plan.
    """
    if not remaining:
        return []
    points = {(job.parent, job.fork) for job in ablation.jobs if job.parent}
    fresh = len(remaining.keys() - ablation.known.keys())
    kept = f"{counted(len(points), 'checkpoint')} kept at forks"
    whole = [run for run in ablation.known.values() if run.state == "finished"]
    if not whole:
        return [f"disk space unknown (the store has no finished run of this plan); {kept}"]
    like = max(whole, key=lambda run: run.size())
    checkpoint = max((file.stat().st_size for _, file in layout.checkpoints(like.path)), default=0)
    space = fresh * like.size() + len(points) * checkpoint
    files = fresh * sum(file.is_file() for file in like.path.rglob("*")) + len(points)
    return [f"disk space: about {space / 2**20:.0f} MiB in {counted(files, 'file')}; {kept}"]
