"""Look at the processes of this host, by psutil."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil

SAFE_PATH = "PYTHONSAFEPATH"  # with it, Python does not look for modules in the current folder


def environment() -> dict[str, str]:
    """Return the environment of a Python process that must not import modules from the current folder."""
    return {**os.environ, SAFE_PATH: "1"}


def host() -> str:
    """Return the name by which files know this host."""
    return socket.gethostname()


def exists(pid: int) -> bool:
    """Tell whether a process is alive; one that has ended but was not waited for (a zombie) is not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False


def start_of(pid: int) -> float | None:
    """Return when a process started, in seconds since the epoch; None where the system does not tell."""
    with suppress(psutil.Error, ValueError, OverflowError):
        return float(psutil.Process(pid).create_time())
    return None


def command_of(pid: int) -> list[str]:
    """Return the command line of a process; [] where the system does not tell."""
    with suppress(psutil.Error, ValueError, OverflowError):
        return list(psutil.Process(pid).cmdline())
    return []


def marked(variable: str, value: str) -> Iterator[int]:
    """Yield the processes whose environment, as they were started, has a variable of this value."""
    for one in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if value and one.environ().get(variable) == value:
                yield one.pid


def ranks(variable: str, value: str) -> list[int]:
    """Return the processes of a distributed training among those that a variable marks, without their children.

    A launcher gives each of them its number in the variable RANK, which their children inherit.
    """
    found = [pid for pid in marked(variable, value) if "RANK" in _environment(pid)]
    return [pid for pid in found if _parent(pid) not in found]


def _environment(pid: int) -> dict[str, str]:
    with suppress(psutil.Error, OSError):
        return dict(psutil.Process(pid).environ())
    return {}


def _parent(pid: int) -> int | None:
    with suppress(psutil.Error, OSError):
        return psutil.Process(pid).ppid()
    return None


def kill(pid: int, patience: float = 5.0) -> bool:
    """Kill a process and its descendants, and wait until the process is gone.

    Returns:
        Whether it is gone; a process that waits for a dead disk outlives this.
    """
    with suppress(psutil.Error):
        for one in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with suppress(psutil.Error):
                one.send_signal(signal.SIGKILL)
    end = time.monotonic() + patience
    while exists(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not exists(pid)
