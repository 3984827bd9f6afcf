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
        return []
    total = sum(ablation.courses[name].iterations for name in remaining)
    saved = sum(job.fork for job in forked)
    percent = 100 * saved / total if total else 0.0
    lines = ["shared beginnings (each is trained once; --no-share trains every run from its start):"]
    lines += _drawn(ablation)
    lines.append(f"{saved} of {total} iterations are shared ({percent:.0f} %){_hours(ablation, forked)}")
    return [*lines, _disk(ablation), ""]


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
        lines.append(f"  from {job.fork} of {Path(job.begin_from).name} in the store  {job.title}")
    return lines


def _hours(ablation: Ablation, forked: list[Job]) -> str:
    """Return the hours that shared beginnings would take if each run trained its own; "" where that is not known."""
    hours = 0.0
    for job in forked:
        pace = ablation.courses[job.fingerprint].pace
        if pace is None:
            return ""
        hours += pace.iteration * job.fork / 3600
    return f", {hours:.2f} h of computing"


def _disk(ablation: Ablation) -> str:
    """Return how many checkpoints are kept at forks, and how large they will be where the store knows one."""
    points = {(job.parent, job.fork) for job in ablation.jobs if job.parent}
    sizes = [file.stat().st_size for run in ablation.known.values() for _, file in layout.checkpoints(run.path)[:1]]
    size = f"about {max(sizes) * len(points) / 2**20:.0f} MiB" if sizes else "of unknown size"
    return f"kept at forks: {counted(len(points), 'checkpoint')}, {size}"
