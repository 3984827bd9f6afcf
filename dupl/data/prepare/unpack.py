"""Unpacking an archive: only the files wanted, none outside the folder meant for them, each of them whole."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from dupl.data.prepare.archives import Archive
from dupl.data.prepare.disk import require, room, write_file
from dupl.errors import UserError

_PIECE = 1 << 20
_MOST_FILES = 1_000_000
_MOST_GROWTH = 100  # times the archive's size; photos do not shrink, annotations to a fifth


class _Member(NamedTuple):
    """One entry: its name, its bytes, whether it is a plain file, how to open it, the bytes of archive before it."""

    name: str
    size: int
    plain: bool
    folder: bool
    open: Callable[[], IO[bytes] | None]
    place: int


def unpack(path: Path, archive: Archive, root: Path, tick: Callable[[str, int, int | None], None]) -> None:
    """Unpack what the archive's description takes; files that are there in full already are left alone.

    Args:
        path: A tar, compressed or not, or a zip.
        archive: What to take and where to put it.
        root: Root of the data set.
        tick: Told of the progress.

    Raises:
        UserError: It is damaged; it holds absolute names, "..", or a link among the files to take; it grows beyond
            all measure; the disk is full.
    """
    size = path.stat().st_size
    most = _MOST_GROWTH * size + 1_000_000
    written, files, place = 0, 0, 0
    refusal = f"{path} is refused: "
    folder = root / archive.to
    require(folder, archive.name, archive.still(root))
    with room(folder, archive.name, lambda: max(archive.still(root), size - place)), _members(path) as members:
        for member in members:
            files, place = files + 1, member.place
            tick(f"unpack {archive.name}", place, size)
            inside = _safe(member.name, refusal)
            target = _target(inside, archive)
            if files > _MOST_FILES:
                raise UserError(f"{refusal}it has more than {_MOST_FILES:,} files")
            if target is None or member.folder:
                continue
            if not member.plain:
                raise UserError(f"{refusal}{member.name} is a link or a device")
            written += member.size
            if written > most:
                raise UserError(f"{refusal}its files exceed {_MOST_GROWTH} times its size")
            if not _there(folder / target, member.size):
                _write(folder / target, member)
    tick(f"unpack {archive.name}", size, size)


def _there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _write(path: Path, member: _Member) -> None:
    """Write one file; of a member that says it is smaller than it is, only so much is taken."""
    source = member.open()
    if source is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    with source:

        def pieces() -> Iterator[bytes]:
            left = member.size
            while left and (piece := source.read(min(_PIECE, left))):
                left -= len(piece)
                yield piece
            if left or source.read(1):  # reading to the end checks a zip's CRC
                raise tarfile.ReadError(f"{member.name} is not as long as it says")

        write_file(path, pieces())


def _safe(name: str, refusal: str) -> PurePosixPath:
    """Return a member's path; refuse one that could lead elsewhere on any system."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in (path.parts or ("",))[0]:
        raise UserError(f"{refusal}its entry {name!r} leads out of its folder")
    return path


def _target(path: PurePosixPath, archive: Archive) -> PurePosixPath | None:
    """Return where a member goes, relative to the archive's folder; None where it is not wanted."""
    inside = PurePosixPath(archive.inside)
    if not path.is_relative_to(inside):
        return None
    target = path.relative_to(inside)
    return target if any(target.is_relative_to(wanted) for wanted in archive.take) else None


@contextmanager
def _members(path: Path) -> Iterator[Iterator[_Member]]:
    """Open a tar or a zip; turn what can go wrong in reading it into one line."""
    try:
        with open(path, "rb") as file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as packed:
                    yield _zip_members(packed)
            else:
                file.seek(0)
                with tarfile.open(fileobj=file, mode="r|*") as stream:
                    yield _tar_members(stream, file)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} cannot be unpacked ({error}); delete it and run the same command again") from None


def _tar_members(stream: tarfile.TarFile, file: IO[bytes]) -> Iterator[_Member]:
    for entry in stream:
        # Reading in a stream: a member is opened, if at all, before the next one is asked for.
        yield _Member(
            entry.name,
            entry.size,
            entry.isreg() and not entry.issparse(),
            entry.isdir(),
            lambda entry=entry: stream.extractfile(entry),  # type: ignore[misc]
            file.tell(),
        )


def _zip_members(packed: zipfile.ZipFile) -> Iterator[_Member]:
    for entry in packed.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG) and not entry.is_dir()
        yield _Member(
            entry.filename,
            entry.file_size,
            plain,
            entry.is_dir(),
            lambda entry=entry: packed.open(entry),  # type: ignore[misc]
            entry.header_offset,
        )
