"""Look at lock files without disturbing their holders, and kill a holder of this host that stands still."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dupl import process
from dupl.lock.holder import BEATS, FILE, TTL, Holder, locker
from dupl.lock.holding import is_own


@dataclass(frozen=True)
class Sight:
    """A holder as a watch sees it.

    Attributes:
        holder: Its note; None where the file is locked but its note cannot be read.
        stalled: Whether the note has not changed for its time to live.
    """

    holder: Holder | None
    stalled: bool = False

    def __str__(self) -> str:
        """Name the holder, for people."""
        return str(self.holder) if self.holder is not None else "another process"

    @property
    def token(self) -> str:
        """The state of the note in one word, which changes with each renewal."""
        note = self.holder
        return f"{note.host}/{note.pid}/{note.since}/{note.beat}" if note is not None else ""


class Watch:
    """Tell who holds lock files; ask again and again.

    Args:
        ttl: Seconds without a change, for notes that do not say it.
        clock: In seconds, of this observer alone.
    """

    def __init__(self, ttl: float = TTL, clock: Callable[[], float] = time.monotonic) -> None:
        self.ttl, self.clock = ttl, clock
        self.seen: dict[Path, tuple[Holder, float, float]] = {}

    def __call__(self, folder: str | Path, name: str = FILE) -> Sight | None:
        """Return who holds the lock file of a folder; None where nobody does.

        A holder on another host counts as gone once its note has not changed for its time to live, over several
        calls. One on this host is seen as long as it exists, and is stalled after that time. Time between two calls
        counts as one renewal at most, so that an observer that slept does not take all others for dead.
        """
        path = Path(folder) / name
        if is_own(path):
            return Sight(Holder(process.host(), os.getpid()))
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:
            self.seen.pop(path, None)
            return None
        try:
            note, by = Holder.of(handle), locker(handle)
        finally:
            os.close(handle)
        if note is None:
            return Sight(None) if by else None
        if note.local and (by == 0 or (by is None and not note.alive())):
            return None
        stalled = self._age(path, note) >= (note.ttl or self.ttl)
        return Sight(note, stalled) if note.local or by or not stalled else None

    def _age(self, path: Path, note: Holder) -> float:
        """Return for how many seconds this observer has seen a note unchanged."""
        now = self.clock()
        before, age, looked = self.seen.get(path, (note, 0.0, now))
        age = age + min(now - looked, (note.ttl or self.ttl) / BEATS) if before == note else 0.0
        self.seen[path] = note, age, now
        return age


def kill_stalled(folder: str | Path, token: str, name: str = FILE) -> Holder | None:
    """Kill the holder of a lock file, if it is a process of this host that has not renewed its note since.

    Args:
        folder: Where the lock file is.
        token: Of the sight that was stalled.
        name: Of the lock file.

    Returns:
        The holder that was killed; None where none was.
    """
    path = Path(folder) / name
    if is_own(path):
        return None
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        note, by = Holder.of(handle), locker(handle)
    finally:
        os.close(handle)
    if note is None or not note.local or Sight(note).token != token:
        return None
    proven = by == note.pid if by is not None else note.start is not None and note.alive()
    return note if proven and process.kill(note.pid) else None
