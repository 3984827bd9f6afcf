"""Listing the entries of a tar or a zip archive in one form."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from dupl.errors import UserError


class Member(NamedTuple):
    """One entry of an archive.

    Attributes:
        name: Its path in the archive, as written there.
        size: Its size in bytes, as written there.
        is_file: Whether it is a plain file, and not a link or a device.
        is_folder: Whether it is a folder.
        open: Opens its content; must be called before the next entry is requested.
        position: The bytes of the archive before it.
    """

    name: str
    size: int
    is_file: bool
    is_folder: bool
    open: Callable[[], IO[bytes] | None]
    position: int


@contextmanager
def members(path: Path) -> Iterator[Iterator[Member]]:
    """Open a tar or a zip and list its entries; turn errors of reading it into one line.

    Raises:
        UserError: The archive is damaged or of another format.
    """
    try:
        with open(path, "rb") as file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    yield _zip_members(archive)
            else:
                file.seek(0)
                with tarfile.open(fileobj=file, mode="r|*") as stream:
                    yield _tar_members(stream, file)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} cannot be unpacked ({error}); delete it and run the same command again") from None


def _tar_members(stream: tarfile.TarFile, file: IO[bytes]) -> Iterator[Member]:
    for entry in stream:
        yield Member(
            entry.name,
            entry.size,
            entry.isreg() and not entry.issparse(),
            entry.isdir(),
            lambda entry=entry: stream.extractfile(entry),  # type: ignore[misc]
            file.tell(),
        )


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    for entry in archive.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        yield Member(
            entry.filename,
            entry.file_size,
            kind in (0, stat.S_IFREG) and not entry.is_dir(),
            entry.is_dir(),
            lambda entry=entry: archive.open(entry),  # type: ignore[misc]
            entry.header_offset,
        )
