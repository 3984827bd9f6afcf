"""Unpacking an archive: only the wanted files, none outside their folder, each of them complete.

tarfile's data filter is not used: it strips a leading "/" and allows links within the folder, where an archive of a
public data set is refused, and zip archives need the same checks.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from dupl.data.prepare.archives import Archive
from dupl.data.prepare.disk import require, write_file, writing
from dupl.data.prepare.members import Member, members
from dupl.errors import UserError

_PIECE = 1 << 20
_MOST_FILES = 1_000_000
_MOST_GROWTH = 100  # times the archive's size; photos hardly compress, annotations to a fifth


def unpack(path: Path, archive: Archive, root: Path, tick: Callable[[str, int, int | None], None]) -> None:
    """Unpack the files that an archive's description names; complete files that are already there are skipped.

    Args:
        path: A tar, compressed or not, or a zip.
        archive: The files to take, and the folder to put them in.
        root: Root of the data set.
        tick: Receives the progress.

    Raises:
        UserError: The archive is damaged, has absolute names, "..", or a link among the files to take, grows to more
            than 100 times its size, or the disk is full.
    """
    size = path.stat().st_size
    written = position = 0
    folder = root / archive.to
    require(folder, archive.name, archive.bytes_left(root))
    with (
        writing(folder, archive.name, lambda: max(archive.bytes_left(root), size - position)),
        members(path) as entries,
    ):
        for n, member in enumerate(entries):
            position = member.position
            tick(f"unpack {archive.name}", position, size)
            target = _target(_safe_path(path, member), archive)
            if n == _MOST_FILES:
                raise UserError(f"{path} is refused: it has more than {_MOST_FILES:,} files")
            if target is None or member.is_folder:
                continue
            if not member.is_file:
                raise UserError(f"{path} is refused: {member.name} is a link or a device")
            written += member.size
            if written > _MOST_GROWTH * size + 1_000_000:
                raise UserError(f"{path} is refused: its files exceed {_MOST_GROWTH} times its size")
            if not _is_complete(folder / target, member.size):
                _write(folder / target, member)
    tick(f"unpack {archive.name}", size, size)


def _is_complete(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _write(path: Path, member: Member) -> None:
    """Write one file; fail if its content is longer or shorter than the archive states."""
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
                raise tarfile.ReadError(f"{member.name} does not have the size that the archive states")

        write_file(path, pieces())


def _safe_path(archive: Path, member: Member) -> PurePosixPath:
    """Return a member's path; refuse one that leads out of its folder on any system."""
    name = member.name
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in (path.parts or ("",))[0]:
        raise UserError(f"{archive} is refused: its entry {name!r} leads out of its folder")
    return path


def _target(path: PurePosixPath, archive: Archive) -> PurePosixPath | None:
    """Return the path of a member relative to the archive's folder; None where it is not wanted."""
    inside = PurePosixPath(archive.inside)
    if not path.is_relative_to(inside):
        return None
    target = path.relative_to(inside)
    return target if any(target.is_relative_to(wanted) for wanted in archive.take) else None
