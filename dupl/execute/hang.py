"""Notice commands that hang, and have them write the stacks of their threads."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from dupl import process
from dupl.lock import MARK

DUMP = 10.0  # seconds that a command has to write the stacks of its threads
LOOK = 0.25  # seconds between looks at them


class Hung(Exception):
    """A command gave no heartbeat for too long."""


class Pulse:
    """Tell whether a command still gets on: whether one of some files still changes.

    Args:
        files: Which; they need not exist.
        limit: Seconds without a change that are too many; 0 is no limit.
        clock: In seconds.
    """

    def __init__(self, files: Sequence[Path], limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.files, self.limit, self.clock = files, limit, clock
        self.every = min(5.0, limit / 10)
        self.seen, self.looked, self.age = self._look(), clock(), 0.0

    def stopped(self) -> bool:
        """Tell whether nothing changed for too long.

        Time between two calls counts as a little at most, so that a machine that slept kills nothing.
        """
        now = self.clock()
        if self.limit <= 0 or now - self.looked < self.every:
            return False
        found = self._look()
        self.age = self.age + min(now - self.looked, 4 * self.every) if found == self.seen else 0.0
        self.seen, self.looked = found, now
        return self.age >= self.limit

    def _look(self) -> list[tuple[int, int]]:
        found = []
        for file in self.files:
            with suppress(OSError):
                stat = file.stat()
                found.append((stat.st_mtime_ns, stat.st_size))
        return found


def dump_stacks(ticket: str, log: Path) -> None:
    """Have the processes of an order write the stacks of their threads, as far as they listen to SIGUSR1."""
    with suppress(OSError):
        begun = size = log.stat().st_size
        asked = [pid for pid in process.marked(MARK, ticket) if _catches(pid, signal.SIGUSR1)]
        for pid in asked:
            os.kill(pid, signal.SIGUSR1)
        end, still = time.monotonic() + DUMP, 0
        while asked and time.monotonic() < end and (still < 4 or size == begun):
            time.sleep(LOOK)
            before, size = size, log.stat().st_size
            still = still + 1 if before == size else 0


def _catches(pid: int, number: int) -> bool:
    """Tell whether a process has a handler for a signal, which would otherwise end it."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (number - 1) & 1)
    return False
