"""The store as the board sees it: its runs, looked at anew every two seconds, and what it was asked for."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dupl.board.misled import misled
from dupl.errors import UserError
from dupl.runs import layout, scalars
from dupl.runs.calls import last_times
from dupl.runs.listing import RunLine
from dupl.runs.status import LARGEST
from dupl.runs.store import RunStore

EVERY = 2.0  # seconds between two looks at the store
SLOWEST = 1e6  # seconds of an iteration; more is an error of the file


@dataclass
class StoreView:
    """The runs of a store by their folders below it.

    Attributes:
        store: The store.
        clock: In seconds.
        lines: As of the last look.
        problems: What could not be read, one line each.
        names: Of runs by their resolved paths.
        warnings: Of the detector, by the folder of the run below the store; runs without any are not in it.
    """

    store: RunStore
    clock: Callable[[], float] = time.monotonic
    lines: dict[str, RunLine] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    names: dict[Path, str] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock, self._looked = threading.Lock(), float("-inf")
        self._misled: dict[str, tuple[int, list[str]]] = {}  # by name: size of the scalars, and the warnings then

    def look(self) -> dict[str, RunLine]:
        """Return the runs; they are read again where the last look is older than `EVERY`."""
        with self._lock:
            if self.clock() - self._looked > EVERY:
                root = self.store.root
                self.lines = {name_below(line.path, root): line for line in self.store.lines()}
                self.problems = [f"{path}: {why}" for path, why in self.store.skipped]
                self.names = {Path(os.path.realpath(line.path)): name for name, line in self.lines.items()}
                self._find_warnings()
                self._looked = self.clock()
            return self.lines

    def _find_warnings(self) -> None:
        """Look for warnings in the scalars that have grown."""
        known = {}
        for name, line in self.lines.items():
            try:
                size = os.stat(line.path / layout.SCALARS).st_size
            except OSError:
                continue
            before = self._misled.get(name)
            known[name] = before if before and before[0] == size else (size, misled(line.path))
        self._misled = known
        self.warnings = {name: found for name, (_, found) in known.items() if found}

    def line(self, name: str) -> RunLine:
        """Return a run; only a name that the store itself has is one, so that no path leads elsewhere.

        Raises:
            UserError: There is no such run.
        """
        found = self.look().get(name)
        if found is None:
            raise UserError(f"the store has no run {name[:200]!r}: go back to the list of runs")
        return found

    def called(self, kind: str) -> dict[str, str]:
        """Return when each plan ("ablate") or sweep ("sweep") was last asked for, newest first."""
        times = last_times(self.store.root, kind)
        return dict(sorted(times.items(), key=lambda pair: pair[1], reverse=True))

    def check_called(self, kind: str, name: str) -> None:
        """Check that a plan or a sweep was asked for in this store.

        Raises:
            UserError: It was not.
        """
        if name not in self.called(kind):
            raise UserError(f"no dupl {kind} of {name[:200]!r} is recorded in this store")

    def stamp(self) -> str:
        """Return what changes when any run does."""
        facts = [(name, line.state, line.iteration, line.seen, line.evaluated) for name, line in self.look().items()]
        return digest((facts, self.warnings))


def name_below(path: Path, root: Path) -> str:
    """Return the folder of a run below the store; "." where the store itself is the run."""
    return Path(os.path.relpath(path, root)).as_posix()


def run_stamp(run: Path) -> tuple[object, ...]:
    """Return what changes when the files of a run do that its page shows."""
    found: list[object] = []
    for name in (layout.STATUS, layout.SCALARS, layout.GALLERY):
        with suppress(OSError):
            stat = os.stat(run / name)
            found += (stat.st_mtime_ns, stat.st_size)
    with suppress(OSError), os.scandir(run / layout.EVALUATIONS) as entries:
        found += sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries)
    return tuple(found)


def now(line: RunLine) -> tuple[int, float | None]:
    """Return how far a run is by its last logged row, and the seconds of an iteration there; None unless it runs."""
    if line.state != "running":
        return line.iteration, None
    row = scalars.last_row(line.path)
    done, seconds = row.get("iter"), row.get("seconds")
    known = float(seconds) if isinstance(seconds, (int, float)) and 0 < seconds < SLOWEST else None
    return max(line.iteration, done if isinstance(done, int) and done < LARGEST else 0), known


def digest(value: object) -> str:
    """Return a short digest of plain values."""
    return hashlib.sha256(repr(value).encode(errors="replace")).hexdigest()[:20]
