"""Hold a lock file: lock it, write a note into it, renew the note, and give it back."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from dupl import process
from dupl.errors import Held, UserError
from dupl.lock.holder import BEATS, FILE, MARK, TTL, Holder

LEASE = "DUPL_LEASE"  # environment variable: another time to live, in seconds
TAKEN = (errno.EACCES, errno.EAGAIN)

_held: set[tuple[int, int]] = set()  # files held by this process, from which the system does not protect them
_taking = threading.Lock()


def _leave() -> None:
    """End the process where it stands: another one writes to the same files by now."""
    print("dupl: another process has taken over while this one stood still", file=sys.stderr, flush=True)
    os._exit(Held.code)


@contextmanager
def hold(
    folder: str | Path,
    say: Callable[[str], object] = print,
    ttl: float | None = None,
    lost: Callable[[], object] = _leave,
    name: str = FILE,
    what: str = "this run",
) -> Iterator[None]:
    """Keep other processes, and other threads of this one, from doing the same meanwhile.

    Args:
        folder: Where the lock file is; it is made where it is missing.
        say: Told in one line why it takes a while, where a process of another host left its lock.
        ttl: Seconds without a renewal after which others may take over; None is `LEASE`, or else `TTL`.
        lost: Called, in a thread, when another process has taken over.
        name: Of the lock file.
        what: What is held, for messages.

    Raises:
        Held: Another process holds it.
        UserError: The folder cannot be written.
    """
    path = Path(folder) / name
    ttl = float(os.environ.get(LEASE, TTL)) if ttl is None else ttl
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, known = _take(path, what)
        place = _place(os.fstat(handle))
        try:
            _prove_free(path, handle, known, say, ttl, what)
            mine = Holder(process.host(), os.getpid(), _now(), 0, process.start_of(os.getpid()), ttl, _mark())
            mine.write(handle)
        except BaseException:
            _give_back(handle, place)
            raise
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror}; make room or allow it, or choose another"
        ) from error
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, handle, mine, ttl / BEATS, over, lost), daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
        with suppress(OSError):
            if _ours(path, handle, mine):
                path.unlink(missing_ok=True)
        _give_back(handle, place)


def _take(path: Path, what: str) -> tuple[int, bool]:
    """Open and lock the file; return it, and whether the file system knows locks.

    Raises:
        Held: Another process, or another thread of this one, has it.
    """
    while True:
        with _taking:
            if is_own(path):
                raise _refusal(path, Holder(process.host(), os.getpid()), what)
            handle, known = os.open(path, os.O_RDWR | os.O_CREAT, 0o666), True
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in TAKEN:
                    note = Holder.of(handle)
                    os.close(handle)
                    raise _refusal(path, note, what) from None
                known = False
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(path)):
                    _held.add(_place(os.fstat(handle)))
                    return handle, known
            os.close(handle)  # its holder ended, and removed it, between the two


def _give_back(handle: int, place: tuple[int, int]) -> None:
    with _taking:
        _held.discard(place)
        os.close(handle)


def _prove_free(path: Path, handle: int, known: bool, say: Callable[[str], object], ttl: float, what: str) -> None:
    """Prove that the process which the note names is gone.

    Raises:
        Held: It is not.
    """
    note = Holder.of(handle)
    if note is None or (known and note.local):
        return
    if note.local:
        if note.alive():
            raise _refusal(path, note, what)
        return
    ttl = note.ttl or ttl
    say(f"{path.parent} was left by {note}: waiting {ttl:.0f} s for a sign of life")
    end = time.monotonic() + ttl
    while time.monotonic() < end:
        time.sleep(min(1.0, ttl / 10))
        if (now := Holder.of(handle)) != note:
            raise _refusal(path, now, what)


def _beat(
    path: Path, handle: int, mine: Holder, every: float, over: threading.Event, lost: Callable[[], object]
) -> None:
    """Renew the note until it is over, or another process has taken the file."""
    while not over.wait(every):
        with suppress(OSError):  # a full or a distant disk may come back
            if path.exists() and not _ours(path, handle, mine):
                lost()
                return
            mine = replace(mine, beat=mine.beat + 1)
            mine.write(handle)


def _ours(path: Path, handle: int, mine: Holder) -> bool:
    """Tell whether the file there is the one held, and nobody else has written into it."""
    try:
        same = os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
    note = Holder.of(handle)
    return same and note is not None and (note.host, note.pid, note.since) == (mine.host, mine.pid, mine.since)


def is_own(path: Path) -> bool:
    """Tell whether this process holds a lock file, which it must not open then: closing it would free it."""
    with suppress(OSError):
        return _place(os.stat(path)) in _held
    return False


def _refusal(path: Path, note: Holder | None, what: str) -> Held:
    return Held(f"{path.parent}: {note or 'another process'} is at work on {what}: wait for it, or stop it")


def _place(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _mark() -> str:
    return os.environ.get(MARK, "")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
