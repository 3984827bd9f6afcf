"""How the runs of ``dupl ablate`` stand: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from dupl.execute.eta import Course, iteration_now
from dupl.execute.scheduler import SETTLED, Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

ORDER = ("running", "queued", "elsewhere", "failed", "interrupted", "waiting", "finished")
STYLES = {"running": "green", "elsewhere": "cyan", "failed": "red", "finished": "dim", "waiting": "dim"}
ESTIMATE = 5.0  # seconds between two estimates of the time to come
REPORT = 60.0  # seconds between two lines on all runs, where there is no terminal


class Board:
    """Shows progress; call it with all of it as often as you like.

    Args:
        console: Where.
        courses: By fingerprint.
        slots: Runs at once.
    """

    def __init__(self, console: Console, courses: Mapping[str, Course], slots: int) -> None:
        self.console, self.courses, self.slots = console, courses, slots
        self.told: dict[str, str] = {}
        self.eta: dict[str, float | None] = {}
        self.estimated = self.reported = float("-inf")
        self.live: Live | None = None

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            from rich.live import Live

            self.live = Live(console=self.console, auto_refresh=False)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, progress: list[Progress]) -> None:
        """Brings what is shown up to date."""
        if time.monotonic() - self.estimated > ESTIMATE:
            self.estimated = time.monotonic()
            self.eta = {p.job.fingerprint: self._seconds(p) for p in progress if p.state not in SETTLED}
        if self.live is not None:
            self.live.update(self._table(progress), refresh=True)
        else:
            self._lines(progress)

    def _seconds(self, p: Progress) -> float | None:
        course = self.courses.get(p.job.fingerprint)
        return course.seconds(p.job, p.folder, p.run) if course is not None else None

    def summary(self, progress: list[Progress]) -> str:
        """All runs in one line: how many are in which state, and when they will be done."""
        counts = Counter[str](p.state for p in progress)
        parts = [f"{counts['finished']}/{len(progress)} finished"]
        parts += [f"{counts[state]} {state}" for state in ORDER if counts[state] and state != "finished"]
        times = [self.eta.get(p.job.fingerprint) for p in progress if p.state not in SETTLED]
        if known := [seconds for seconds in times if seconds is not None]:
            least = "" if len(known) == len(times) else "at least "
            parts.append(f"eta {least}{clock(max(max(known), sum(known) / min(self.slots, len(times))))}")
        elif times:
            parts.append("eta unknown")
        return ", ".join(parts)

    def _table(self, progress: list[Progress]) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=self.summary(progress), title_justify="left", box=None, pad_edge=False)
        for name in ("run", "state", "iterations", "eta", ""):
            table.add_column(name, justify="right" if name in ("iterations", "eta") else "left", no_wrap=name != "")
        shown = sorted(progress, key=lambda p: ORDER.index(p.state))
        room = max(3, self.console.height - 6)
        for p in shown[:room]:
            cells = (p.job.title, p.state, iterations(p), self._eta(p), note(p))
            table.add_row(*(Text(cell, style=STYLES.get(p.state, "")) for cell in cells))
        if len(shown) > room:
            table.add_row(f"and {len(shown) - room} more")
        return table

    def _eta(self, p: Progress) -> str:
        seconds = self.eta.get(p.job.fingerprint)
        return clock(seconds) if seconds is not None and p.state not in SETTLED else ""

    def _lines(self, progress: list[Progress]) -> None:
        changed = False
        for p in progress:
            if self.told.get(p.job.fingerprint, "waiting") != p.state and (p.begun or p.state == "failed"):
                parts = (p.state, p.job.title, iterations(p), note(p))
                self.console.print("  ".join(part for part in parts if part), soft_wrap=True, markup=False)
                changed = changed or p.state in SETTLED
            self.told[p.job.fingerprint] = p.state
        if changed or time.monotonic() - self.reported > REPORT:
            self.reported = time.monotonic()
            self.console.print(self.summary(progress), soft_wrap=True)


def iterations(p: Progress) -> str:
    """How far a run is, as "120/420"; "" before it is created."""
    return f"{iteration_now(p.run)}/{p.run.status.iterations or '?'}" if p.run is not None else ""


def note(p: Progress) -> str:
    """Where somebody else's run is, or what went wrong."""
    if p.state == "elsewhere":
        return p.where
    if p.state != "finished" and p.errors:
        return f"attempt {len(p.errors)} failed: {p.errors[-1]}"
    return ""


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss, with days where there are any."""
    return str(timedelta(seconds=round(seconds)))
