"""Consoles of rich that print text from anybody's files without its control characters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from dupl.terminal import printable


class SafeConsole(Console):
    """A console that writes control characters in texts as escapes; its own colours and cursor movements stay."""

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        """Render as rich does, and replace the control characters in every piece of text."""
        for segment in super().render(*arguments, **options):
            if segment.control is not None or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)
