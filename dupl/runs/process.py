"""Whether the process that was at work on a run still is."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from dupl.runs.status import Status

PROC = Path("/proc")


def at_work(status: Status, written: float) -> bool | None:
    """Whether the process named in a status is still there.

    A process that began after the status was last written is another one, which got the same number; unless it runs
    the very command of the run, for then it was the clock that was set.

    Args:
        status: Of a run.
        written: When the status was last written, in seconds since the epoch.

    Returns:
        None where nobody can tell from here: it was on another host, or the status names none.
    """
    if status.pid is None or status.host != socket.gethostname():
        return None
    if not exists(status.pid):
        return False
    began = start_of(status.pid)
    if began is None or began <= written + 2:  # both are rounded
        return True
    return _same(command_of(status.pid), status.command)


def exists(pid: int) -> bool:
    """Whether there is a process of this number on this host; one that ended and is not yet buried is none."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except (OSError, OverflowError):
        return False
    return _stat(pid)[:1] != ["Z"]


def start_of(pid: int) -> float | None:
    """When a process began, in seconds since the epoch; None where the system does not tell."""
    try:
        boot = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith("btime"))
        return int(boot.split()[1]) + int(_stat(pid)[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, StopIteration, IndexError, ValueError):
        return None


def command_of(pid: int) -> list[str]:
    """The command line of a process; [] where the system does not tell."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _stat(pid: int) -> list[str]:
    """What /proc says of a process after its name: state first, start in ticks since boot as the 20th."""
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _same(running: Sequence[str], recorded: Sequence[str]) -> bool:
    """Whether a process runs a recorded command, whose first word (the script) it may call otherwise."""
    words = list(recorded[1:])
    return bool(words) and list(running[-len(words) :]) == words
