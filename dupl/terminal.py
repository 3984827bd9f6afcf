"""Text for a terminal: counts in words, text of unknown origin made safe to print; and progress."""

from __future__ import annotations

import os
import re
import stat
import time
import unicodedata
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

USER = re.compile(r"(\w://[^\s/:@]*):\S*@")  # of a URL with a password; up to the last "@", as it may contain one
SECRET = "(?:ssl)?(?:password|passwd|pass|pwd|token|secret|api_?key)"
PARAMETER = re.compile(rf"([?&;]{SECRET}=)[^\s&;#'\")]*", re.IGNORECASE)


def counted(count: int, thing: str) -> str:
    """Return a count with its noun: "1 run", "2 runs"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def printable(text: object) -> str:
    """Replace what would steer a terminal, or turn the direction of reading, by its escape."""
    if (known := str(text)).isprintable():
        return known
    steers = {c for c in set(known) if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t"}
    return known.translate({ord(c): ascii(c)[1:-1] for c in steers})


def without_passwords(text: object) -> str:
    """Remove the passwords of URLs in a text: ``user:password@`` and parameters such as ``?password=``."""
    return PARAMETER.sub(r"\1***", USER.sub(r"\1@", str(text)))


def leave_terminal() -> None:
    """Send what is printed from now on nowhere, as the terminal is gone and writing to it would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for handle in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(handle).st_mode):  # a file or a pipe may still be read
                os.dup2(nowhere, handle)
    os.close(nowhere)


class PrintableStream:
    """A text stream that writes only what is `printable`; a console of rich writes past it.

    Args:
        stream: Where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # the name by which rich finds the stream

    def write(self, text: str) -> int:
        """Write a text, its control characters as escapes."""
        return self.rich_proxied_file.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def safe_console(**options: Any) -> Console:
    """Return a console of rich that prints the control characters in texts as escapes.

    Args:
        **options: As of ``rich.console.Console``.
    """
    from dupl.console import SafeConsole

    return SafeConsole(**options)


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
            from rich.progress import Progress

            self.bar = Progress(console=safe_console(stderr=True, force_jupyter=False), transient=True)
            self.bar.start()
            self.task = self.bar.add_task(self.text, total=total)
        self.bar.update(self.task, completed=done)

    def __enter__(self) -> LastingProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()
