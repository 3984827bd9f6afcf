"""Decide which jobs wait for the run whose beginning they share, and which start at once."""

from __future__ import annotations

from dupl.execute.eta import iteration_now, pace_now
from dupl.execute.progress import Progress
from dupl.runs import layout


def waits_for(p: Progress, parent: Progress | None, pace: float | None = None) -> str:
    """Return what a job that is to begin as another one's checkpoint waits for; "" where it can start.

    It starts too where the other one has ended, went beyond the fork without keeping the checkpoint, or is trained
    elsewhere so slowly that this job would be at the fork earlier from scratch.

    Args:
        p: The job.
        parent: The job that trains the shared beginning; None where it is none of this scheduler.
        pace: Seconds of an iteration of the runs that this scheduler ordered; None where no run tells.
    """
    if parent is None or parent.settled or (p.run is not None and p.run.status.iteration > 0):
        return ""
    kept = (parent.folder / layout.checkpoint(p.job.fork)).is_file()
    beyond = parent.run is not None and parent.run.status.iteration > p.job.fork
    if kept or beyond or sooner_alone(p, parent, pace):
        return ""
    return f"waits for iteration {p.job.fork} of {parent.job.title}"


def sooner_alone(p: Progress, parent: Progress, pace: float | None) -> bool:
    """Return whether a job that starts at once reaches the fork earlier than the run that it would wait for.

    Runs of one scheduler are taken to be equally fast, so waiting for one of them costs no time. A run that another
    scheduler trains may be on a slower machine.

    Args:
        p: The job.
        parent: The job that trains the shared beginning.
        pace: Seconds of an iteration of the runs that this scheduler ordered; None where no run tells.
    """
    if parent.state != "elsewhere" or parent.run is None or pace is None:
        return False
    theirs = pace_now(parent.run)
    return theirs is not None and (p.job.fork - iteration_now(parent.run)) * theirs > p.job.fork * pace
