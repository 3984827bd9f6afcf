"""Files that are whole or absent."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path


def atomic_write(path: str | Path, data: bytes) -> None:
    """Writes a file so that whoever reads it, even after a crash, finds all of it or what was there before.

    Folders on the way are made.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(draft, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: str | Path) -> None:
    """Has the names in a folder outlast a power cut, where the file system can promise that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
