"""Files that are whole or absent."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONGEST = 200  # bytes of a name to which others are added


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
    draft = path.with_name(f".{_short(path.name)}.{uuid.uuid4().hex}")
    try:
        with open(draft, "xb") as file:
            file.write(utf8(data) if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _short(name: str) -> str:
    """Return a name that leaves room for more in the 255 bytes that a name may have; mostly the name itself."""
    data = os.fsencode(name)
    return name if len(data) <= LONGEST else hashlib.sha256(data).hexdigest()


@contextmanager
def draft(final: Path) -> Iterator[Path]:
    """Yield a temporary name to write a large file to; afterwards the file is synchronised to disk and renamed.

    If the block raises, the temporary file is removed.
    """
    part = final.with_name(f".{_short(final.name)}.part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, final)
        sync_folder(final.parent)
    finally:
        part.unlink(missing_ok=True)


def link(file: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    try:
        os.link(file, target)
    except OSError:
        with draft(target) as part:
            shutil.copyfile(file, part)


def sync_folder(folder: str | Path) -> None:
    """Has the names in a folder outlast a power cut, where the file system can promise that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
