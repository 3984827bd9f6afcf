"""Text from anybody's files, on a terminal."""

from __future__ import annotations

import unicodedata


def printable(text: object) -> str:
    """Text in which what would steer a terminal, or turn the direction of reading, is written as its escape."""
    steers = {c for c in str(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t"}
    return str(text).translate({ord(c): ascii(c)[1:-1] for c in steers})
