"""The progress of ``dupl ablate``: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from dupl.api import Progress, TimeRemaining

STYLES = {"running": "green", "elsewhere": "cyan", "failed": "red", "finished": "dim", "waiting": "dim"}
REPORT = 60.0  # seconds between two lines on all runs, where there is no terminal


class LiveTable:
    """Shows the progress of runs; call it with all of it as often as you like.

    Args:
        console: Where.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.shown: dict[str, str] = {}
        self.reported = float("-inf")
        self.live: Live | None = None

    def __enter__(self) -> LiveTable:
        if self.console.is_terminal:
            from rich.live import Live

            self.live = Live(console=self.console, auto_refresh=False)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, progress: Sequence[Progress], remaining: TimeRemaining) -> None:
        """Bring what is shown up to date."""
        if self.live is not None:
            self.live.update(self._table(progress, remaining), refresh=True)
        else:
            self._lines(progress, remaining)

    def _table(self, progress: Sequence[Progress], remaining: TimeRemaining) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=remaining.summary(progress), title_justify="left", box=None, pad_edge=False)
        for name in ("run", "state", "iterations", "eta", ""):
            table.add_column(name, justify="right" if name in ("iterations", "eta") else "left", no_wrap=name != "")
        room = max(3, self.console.height - 6)
        for p in remaining.ordered(progress)[:room]:
            cells = (p.job.title, p.state, p.iterations, remaining.of(p), p.note)
            table.add_row(*(Text(cell, style=STYLES.get(p.state, "")) for cell in cells))
        if len(progress) > room:
            table.add_row(f"and {len(progress) - room} more")
        return table

    def _lines(self, progress: Sequence[Progress], remaining: TimeRemaining) -> None:
        changed = False
        for p in progress:
            if self.shown.get(p.job.fingerprint, "waiting") != p.state and (p.begun or p.state == "failed"):
                parts = (p.state, p.job.title, p.iterations, p.note)
                self.console.print("  ".join(part for part in parts if part), soft_wrap=True, markup=False)
                changed = changed or p.settled
            self.shown[p.job.fingerprint] = p.state
        if changed or time.monotonic() - self.reported > REPORT:
            self.reported = time.monotonic()
            self.console.print(remaining.summary(progress), soft_wrap=True)
