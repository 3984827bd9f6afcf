"""Text in cells of CSV files, which spreadsheets must not take for a formula."""

from __future__ import annotations

import re
from typing import TypeVar

FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # how a formula begins, or what `written` makes of it
Value = TypeVar("Value")


def written(value: Value) -> Value | str:
    """A cell as it is written: a text that a spreadsheet would compute gets an apostrophe; a number stays."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) and not _figures(value) else value


def read(text: str) -> str:
    """The text that `written` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def _figures(text: str) -> bool:
    """Whether a text is numbers, separated by spaces."""
    try:
        return bool([float(word) for word in text.split(" ")])
    except ValueError:
        return False
