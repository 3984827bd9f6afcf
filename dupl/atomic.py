"""Files that are whole or absent."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path


def utf8(text: str) -> bytes:
    """Text as UTF-8; what is no character, such as a byte of a file's name that is no UTF-8, as its escape."""
    return text.encode("utf-8", "backslashreplace")


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Writes a file so that whoever reads it, even after a crash, finds all of it or what was there before.

    Folders on the way are made.

    Args:
        path: The file.
        data: Its content; text is written as `utf8` has it.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(draft, "xb") as file:
            file.write(utf8(data) if isinstance(data, str) else data)
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
