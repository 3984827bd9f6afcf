"""Verifying archives by published checksums, or by the recorded ones in SHA256SUMS beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from dupl.atomic import atomic_write
from dupl.data.prepare.archives import Archive
from dupl.errors import UserError

_PIECE = 1 << 20


def verify(
    path: Path,
    archive: Archive,
    folder: Path,
    tick: Callable[[str, int, int | None], None],
    aside: Path | None = None,
) -> None:
    """Verify a file by its archive's size and checksum; record its SHA-256 in `folder`/SHA256SUMS.

    Args:
        path: The file.
        archive: The expected archive. Without a published checksum, the one in SHA256SUMS counts if there is one.
        folder: Folder of SHA256SUMS.
        tick: Receives the progress.
        aside: Where to move a wrong file; None leaves it in place, as for a file of the user.

    Raises:
        UserError: The size or the checksum differs.
    """
    size = path.stat().st_size
    algorithm, _, wanted = (archive.digest or "").partition(":")
    known = _read(folder / "SHA256SUMS")
    if archive.digest is None:
        algorithm, wanted = "sha256", known.get(archive.name, "")
    found, sha256 = _digests(path, algorithm, lambda done: tick(f"verify {archive.name}", done, size))
    problem = ""
    if archive.size is not None and size != archive.size:
        problem = f"it has {size:,} bytes instead of {archive.size:,}"
    elif wanted and found != wanted:
        problem = f"its {algorithm.upper()} is {found} instead of {wanted}"
    if problem:
        where = path
        if aside is not None:
            where = path.replace(aside)
        raise UserError(f"{archive.name} is not the right file: {problem}; look at {where}, or get it from elsewhere")
    if known.get(archive.name) != sha256:
        known[archive.name] = sha256
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(known.items()))
        atomic_write(folder / "SHA256SUMS", lines)


def is_known(name: str, folder: Path) -> bool:
    """Return whether SHA256SUMS has a line for a file, which means that it was verified."""
    return name in _read(folder / "SHA256SUMS")


def _digests(path: Path, algorithm: str, tick: Callable[[int], None]) -> tuple[str, str]:
    """Return a file's checksum by an algorithm, and its SHA-256."""
    digest, sha256 = hashlib.new(algorithm, usedforsecurity=False), hashlib.sha256()
    done = 0
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            if algorithm != "sha256":
                sha256.update(piece)
            done += len(piece)
            tick(done)
    return digest.hexdigest(), (digest if algorithm == "sha256" else sha256).hexdigest()


def _read(path: Path) -> dict[str, str]:
    """Read the checksums by name from a list in the format of sha256sum."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = [line.split("  ", 1) for line in lines if "  " in line]
    return {name: digest for digest, name in pairs}
