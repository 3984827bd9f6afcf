"""Tell whether the process that works on a run is still there."""

from __future__ import annotations

from collections.abc import Sequence

from dupl import process
from dupl.runs.status import Status


def at_work(status: Status, written: float) -> bool | None:
    """Tell whether the process named in a status is still there.

    A process that started after the status was last written is another one, which got the same number; unless it runs
    the very command of the run: then somebody has set the clock.

    Args:
        status: Of a run.
        written: When the status was last written, in seconds since the epoch.

    Returns:
        None where this host cannot tell: the process was on another host, or the status names none.
    """
    if status.pid is None or status.host != process.host():
        return None
    if not process.exists(status.pid):
        return False
    started = process.start_of(status.pid)
    if started is None or started <= written + 2:  # both are rounded
        return True
    return _same(process.command_of(status.pid), status.command)


def _same(running: Sequence[str], recorded: Sequence[str]) -> bool:
    """Tell whether a process runs a recorded command, whose first word (the script) it may write differently."""
    words = list(recorded[1:])
    return bool(words) and list(running[-len(words) :]) == words
