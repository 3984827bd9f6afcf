"""The note in a lock file, which names the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, fields

from dupl import process

FILE = ".lock"
TTL = 60.0  # seconds that the note of a holder on another host may stay unchanged
BEATS = 4  # renewals in the time to live
MARK = "DUPL_TICKET"  # environment variable: the order that started the holder
WIDTH = 400  # bytes of the note, so that each renewal is one write


@dataclass(frozen=True)
class Holder:
    """The note in a lock file: which process holds it.

    Attributes:
        host, pid: The process.
        since: When it took the lock, in ISO 8601, UTC.
        beat: Renewals so far.
        start: When the process started, in seconds since the epoch; None where that is unknown.
        ttl: Seconds without a renewal after which others may take over; None in notes of version 0.1.
        mark: The order that started it (`MARK`); "" where a person did.
    """

    host: str
    pid: int
    since: str = ""
    beat: int = 0
    start: float | None = None
    ttl: float | None = None
    mark: str = ""

    def __str__(self) -> str:
        """Name the process, for people."""
        return f"process {self.pid} on {self.host}" + (f", since {self.since}" if self.since else "")

    @property
    def local(self) -> bool:
        """Whether it is a process of this host."""
        return self.host == process.host()

    @classmethod
    def of(cls, handle: int) -> Holder | None:
        """Read the note of an open file; None where it is empty or damaged."""
        with suppress(OSError, ValueError, RecursionError, TypeError, AttributeError):
            values = json.loads(os.pread(handle, WIDTH, 0))
            known = {field.name for field in fields(cls)}
            note = cls(**{key: value for key, value in values.items() if key in known})
            numbers = (note.start or 0.0, note.ttl or 0.0)
            texts = (note.host, note.since, note.mark)
            if all(isinstance(x, str) for x in texts) and all(isinstance(x, (int, float)) for x in numbers):
                return note if isinstance(note.pid, int) and isinstance(note.beat, int) else None
        return None

    def write(self, handle: int) -> None:
        """Write the note into an open file."""
        os.pwrite(handle, json.dumps(asdict(self)).encode()[: WIDTH - 1].ljust(WIDTH - 1) + b"\n", 0)

    def alive(self) -> bool:
        """Tell whether it is a process of this host that still exists."""
        if not self.local or not process.exists(self.pid):
            return False
        started = process.start_of(self.pid)
        return self.start is None or started is None or abs(started - self.start) < 2  # both are rounded


def locker(handle: int) -> int | None:
    """Return which process has locked an open file: 0 for none; None where the system cannot tell."""
    if sys.platform != "linux":
        return None
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(handle, fcntl.F_GETLK, asked))
    except OSError:
        return None
    return 0 if kind == fcntl.F_UNLCK else pid or -1
