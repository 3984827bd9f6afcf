"""The SHA-256 of a file, read in pieces, however large it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

PIECE = 1 << 20  # bytes


def file_sha256(file: Path) -> str:
    """Return the SHA-256 of a file in 64 hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    value = hashlib.sha256()
    with open(file, "rb") as data:
        while piece := data.read(PIECE):
            value.update(piece)
    return value.hexdigest()
