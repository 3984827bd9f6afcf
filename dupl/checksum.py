"""The SHA-256 of a file, read in pieces, however large it is, and a digest of several files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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


def files_digest(files: Mapping[str, Path]) -> str:
    """Return a digest of names and contents of files, the same in whatever order they come, in 12 hexadecimal digits.

    Raises:
        OSError: One of them cannot be read.
    """
    value = hashlib.sha256()
    for name, file in sorted(files.items()):
        value.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return value.hexdigest()[:12]
