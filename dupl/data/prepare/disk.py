"""Writing to a disk that may be full: a file is written whole or not at all, and errors take one line."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dupl.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT}
AGAIN = "run the same command again: it continues where it stopped"


def amount(size: float) -> str:
    """Format a number of bytes in decimal units."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def free(folder: Path) -> int:
    """Return the free bytes on the disk of a folder that may not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require(folder: Path, what: str, need: int) -> None:
    """Refuse to start writing what will not fit on the disk.

    Raises:
        UserError: Fewer than `need` bytes are free.
    """
    if free(folder) < need:
        raise _refusal(folder, what, need)


@contextmanager
def writing(folder: Path, what: str, need: Callable[[], int]) -> Iterator[None]:
    """Turn a disk that fills up, or that cannot be written, into a one-line error.

    Args:
        folder: The folder that is written to.
        what: What is written, for the message.
        need: Returns the bytes still to be written; called after the error.

    Raises:
        UserError: The disk or a quota is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _refusal(folder, what, need()) from None
        raise UserError(f"{what}: cannot be written to {folder} ({error}); choose another --root") from None


def _refusal(folder: Path, what: str, need: int) -> UserError:
    left = free(folder)
    space = f"{what} needs {amount(need)} more in {folder}, {amount(left)} are free: {amount(need - left)} missing"
    if need <= left:
        space = f"no space for {what} in {folder} ({amount(left)} free; a quota may be used up)"
    return UserError(f"disk full: {space}; free some space, then {AGAIN}")


def estimate_missing(targets: Iterable[Path]) -> int:
    """Estimate the bytes that missing files will take, from the mean size of the existing ones."""
    sizes = [path.stat().st_size if path.is_file() else None for path in targets]
    existing = [size for size in sizes if size is not None]
    return sum(existing) * (len(sizes) - len(existing)) // max(1, len(existing))


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of the data to an unbuffered file; on a full disk the file holds what still fitted."""
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[file.write(remaining) :]


def write_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that appears under its name once it is complete.

    It is not synchronised to disk, because data sets have 100,000 files.

    Raises:
        OSError: The file cannot be written; nothing is left behind.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(draft, "xb", buffering=0) as file:
            for piece in pieces:
                write_all(file, piece)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
