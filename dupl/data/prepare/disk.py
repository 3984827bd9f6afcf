"""Writing with little room: whole files or none, and a full disk told in one line."""

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
AGAIN = "run the same command again: it goes on where it stopped"


def amount(size: float) -> str:
    """Return a number of bytes for people, in decimal units."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def free(folder: Path) -> int:
    """Return the bytes free where a folder is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require(folder: Path, what: str, need: int) -> None:
    """Refuse to begin what will not fit.

    Raises:
        UserError: Fewer than `need` bytes are free.
    """
    if free(folder) < need:
        raise _refusal(folder, what, need)


@contextmanager
def room(folder: Path, what: str, need: Callable[[], int]) -> Iterator[None]:
    """Turn a disk that fills up meanwhile, or that cannot be written at all, into one line.

    Args:
        folder: Where is written.
        what: What is written, for the message.
        need: The bytes still to come, asked when it has happened.

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
        space = f"no room for {what} in {folder} ({amount(left)} free; a quota may be used up)"
    return UserError(f"disk full: {space}; free some, then {AGAIN}")


def rest(targets: Iterable[Path]) -> int:
    """Return the bytes that files which are not there yet may take, by the mean of those that are."""
    sizes = [path.stat().st_size if path.is_file() else None for path in targets]
    there = [size for size in sizes if size is not None]
    return sum(there) * (len(sizes) - len(there)) // max(1, len(there))


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of the data to an unbuffered file; what a full disk still took is in it."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def write_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that appears under its name when it is whole. It is not forced to disk: sets have 100,000 files.

    Raises:
        OSError: It cannot be written; nothing is left behind.
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
