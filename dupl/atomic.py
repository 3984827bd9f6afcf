"""Files that are whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LONGEST = 255  # bytes of a name, on all common file systems
DRAFT = 200  # of a name to which more is added


def utf8(text: str) -> bytes:
    """Return text as UTF-8; what is no character, such as a byte of a file's name that is no UTF-8, as its escape."""
    return text.encode("utf-8", "backslashreplace")


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Write a file so that whoever reads it, even after a crash, finds all of it or what was there before.

    Folders on the way are made.

    Args:
        path: The file.
        data: Its content; text is written as `utf8` has it.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{fitting_name(path.name, limit=DRAFT)}.{uuid.uuid4().hex}")
    try:
        with open(draft, "xb") as file:
            file.write(utf8(data) if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def read_regular(path: str | Path) -> bytes:
    """Return the bytes of a file of a run or store, which may be anybody's; a named pipe would be waited for for ever.

    Raises:
        OSError: It is missing, cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        return file.read()


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading as `read_regular` does."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(opened).st_mode):
        return os.fdopen(opened, "rb")
    os.close(opened)
    raise OSError(errno.EINVAL, "is no regular file", str(path))


def fitting_name(stem: str, ending: str = "", limit: int = LONGEST) -> str:
    """Return a file's name that a file system takes: where it is too long, its stem is cut and gets a digest.

    Args:
        stem: The name without its ending.
        ending: Such as ".jpg", which stays.
        limit: Bytes of the name.
    """
    data, room = os.fsencode(stem), limit - len(os.fsencode(ending))
    if len(data) <= room:
        return stem + ending
    mark = f"-{hashlib.sha256(data).hexdigest()[:16]}"
    return data[: room - len(mark)].decode("utf-8", "ignore") + mark + ending


@contextmanager
def draft(final: Path) -> Iterator[Path]:
    """Yield a temporary name to write a large file to; afterwards the file is synchronised to disk and renamed.

    If the block raises, the temporary file is removed.
    """
    part = final.with_name(f".{fitting_name(final.name, limit=DRAFT)}.part")
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
    """Have the names in a folder outlast a power cut, where the file system can promise that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
