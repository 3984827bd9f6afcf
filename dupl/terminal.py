"""Text from anybody's files, and progress, on a terminal."""

from __future__ import annotations

import time
import unicodedata
from types import TracebackType
from typing import Any


def printable(text: object) -> str:
    """Text in which what would steer a terminal, or turn the direction of reading, is written as its escape."""
    steers = {c for c in str(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t"}
    return str(text).translate({ord(c): ascii(c)[1:-1] for c in steers})


class LastingProgress:
    """Show a progress bar on standard error for work that takes longer than a moment; a context manager.

    Args:
        text: Before the bar.
        after: Seconds until the bar is shown.
    """

    def __init__(self, text: str, after: float = 2.0) -> None:
        self.text, self.after, self.started = text, after, time.monotonic()
        self.bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Show how far the work is.

        Args:
            done: Items done.
            total: Items in all.
        """
        if self.bar is None:
            if time.monotonic() - self.started < self.after:
                return
            from rich.console import Console
            from rich.progress import Progress

            self.bar = Progress(console=Console(stderr=True, force_jupyter=False), transient=True)
            self.bar.start()
            self.task = self.bar.add_task(self.text, total=total)
        self.bar.update(self.task, completed=done)

    def __enter__(self) -> LastingProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()
