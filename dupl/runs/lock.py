"""One process at a time on a run: a lock file in the run's folder, which is gone when its holder ends well.

On one host, and on a network's disk that knows locks, the system itself keeps others out, and lets go of what a killed
process held. Where it does not, the holder renews the file, and others take over only what has stopped changing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dupl.errors import UserError
from dupl.runs import process

FILE = ".lock"
TTL = 60.0  # seconds that the file of a holder on another host may stay unchanged
BEATS = 4  # renewals in that time
WIDTH = 400  # bytes of the file, so that each renewal is one write
TAKEN = (errno.EACCES, errno.EAGAIN)
BUSY = "is at work on this run"  # said to whoever is refused

_held: set[tuple[int, int]] = set()  # files held by this process, which the system would not keep from itself


def _leave() -> None:
    """Ends the process where it stands: another one writes to the run by now."""
    print("dupl: another process has taken over the run while this one stood still", file=sys.stderr, flush=True)
    os._exit(1)


@contextmanager
def hold(
    folder: str | Path, say: Callable[[str], object] = print, ttl: float = TTL, lost: Callable[[], object] = _leave
) -> Iterator[None]:
    """Keeps other processes from a run's folder meanwhile.

    Args:
        folder: Of the run; it is made where it is not there.
        say: Told in one line why it takes a while, where another host may still be at work.
        ttl: Seconds without a sign of life after which another host's process counts as gone.
        lost: Called, in a thread, when another process has taken the run over.

    Raises:
        UserError: Another process is at work there, or the folder cannot be written.
    """
    path = Path(folder) / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, known = _open(path)
        try:
            note = _read(handle)
            _prove_free(path, handle, note, known, say, ttl)
            mine = {"host": socket.gethostname(), "pid": os.getpid(), "since": _now(), "beat": 0}
            _write(handle, mine)
        except BaseException:
            os.close(handle)
            raise
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}; mend it, or choose another folder") from error
    place = _place(os.fstat(handle))
    _held.add(place)
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, handle, mine, ttl / BEATS, over, lost), daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
        if _ours(path, handle, mine):
            path.unlink(missing_ok=True)
        _held.discard(place)
        os.close(handle)


class Watch:
    """Whether somebody is at work on a run, without taking its lock; ask again and again.

    Args:
        ttl: As `hold` has it.
        clock: In seconds, of this observer alone.
    """

    def __init__(self, ttl: float = TTL, clock: Callable[[], float] = time.monotonic) -> None:
        self.ttl, self.clock = ttl, clock
        self.seen: dict[Path, tuple[dict[str, Any], float, float]] = {}

    def __call__(self, folder: str | Path) -> str | None:
        """Who is, in words; None where nobody is.

        Of a holder on another host, nobody knows before its file stayed unchanged for ``ttl``, over several calls.
        Time between two calls counts as a beat at most, lest an observer that slept takes all others for dead.
        """
        path = Path(folder) / FILE
        try:
            if _place(os.stat(path)) in _held:  # which to open and close the file would give away
                return _who({"host": socket.gethostname(), "pid": os.getpid()})
            handle = os.open(path, os.O_RDONLY)
        except OSError:
            self.seen.pop(path, None)
            return None
        try:
            note, locked = _read(handle), _locked(handle)
        finally:
            os.close(handle)
        if locked or not note:
            return _who(note) if locked else None
        if note.get("host") == socket.gethostname():
            gone = locked is False or not (isinstance(note.get("pid"), int) and process.exists(note["pid"]))
            return None if gone else _who(note)
        now = self.clock()
        before, age, looked = self.seen.get(path, (note, 0.0, now))
        age = age + min(now - looked, self.ttl / BEATS) if before == note else 0.0
        self.seen[path] = note, age, now
        return _who(note) if age < self.ttl else None


def _locked(handle: int) -> bool | None:
    """Whether another process on this host, or on a disk that knows locks, holds a file; None where nobody can tell."""
    if sys.platform != "linux":
        return None
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        kind = struct.unpack("hhqqi4x", fcntl.fcntl(handle, fcntl.F_GETLK, asked))[0]
    except OSError:
        return None
    return bool(kind != fcntl.F_UNLCK)


def _open(path: Path) -> tuple[int, bool]:
    """The file, locked, and whether the system knows locks there."""
    while True:
        with suppress(FileNotFoundError):
            if _place(os.stat(path)) in _held:
                raise _busy(path, {"host": socket.gethostname(), "pid": os.getpid()})
        handle, known = os.open(path, os.O_RDWR | os.O_CREAT, 0o666), True
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in TAKEN:
                note = _read(handle)
                os.close(handle)
                raise _busy(path, note) from None
            known = False
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle, known
        os.close(handle)  # its holder ended, and removed it, between the two


def _prove_free(
    path: Path, handle: int, note: dict[str, Any], known: bool, say: Callable[[str], object], ttl: float
) -> None:
    """Proves that whoever wrote the note is gone.

    Raises:
        UserError: It is not.
    """
    if not note or (known and note.get("host") == socket.gethostname()):
        return
    if note.get("host") == socket.gethostname():
        if isinstance(note.get("pid"), int) and process.exists(note["pid"]):
            raise _busy(path, note)
        return
    say(f"{path.parent} was left by {_who(note)}: looking for a sign of life for {ttl:.0f} s")
    end = time.monotonic() + ttl
    while time.monotonic() < end:
        time.sleep(min(1.0, ttl / 10))
        if _read(handle) != note:
            raise _busy(path, _read(handle))


def _beat(
    path: Path, handle: int, mine: dict[str, Any], every: float, over: threading.Event, lost: Callable[[], object]
) -> None:
    while not over.wait(every):
        if path.exists() and not _ours(path, handle, mine):
            lost()
            return
        mine["beat"] += 1
        with suppress(OSError):  # a full or a distant disk may come back
            _write(handle, mine)


def _ours(path: Path, handle: int, mine: dict[str, Any]) -> bool:
    """Whether the file there is the one held, and nobody else has written into it."""
    try:
        same = os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False
    return same and all(_read(handle).get(key) == mine[key] for key in ("host", "pid", "since"))


def _read(handle: int) -> dict[str, Any]:
    """What the file says of its holder; {} where it says nothing."""
    with suppress(OSError, ValueError, RecursionError):
        note = json.loads(os.pread(handle, WIDTH, 0))
        return note if isinstance(note, dict) else {}
    return {}


def _write(handle: int, note: dict[str, Any]) -> None:
    os.pwrite(handle, json.dumps(note).encode()[:WIDTH].ljust(WIDTH - 1) + b"\n", 0)


def _busy(path: Path, note: dict[str, Any]) -> UserError:
    return UserError(f"{path.parent}: {_who(note)} {BUSY}: wait for it, or stop it")


def _who(note: dict[str, Any]) -> str:
    if not note:
        return "another process"
    since = f", since {note['since']}" if note.get("since") else ""
    return f"process {note.get('pid')} on {note.get('host')}{since}"


def _place(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
