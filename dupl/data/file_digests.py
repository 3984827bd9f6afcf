"""Digests of many files, read once: a cache keeps them by path, size and time of the last change."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from dupl.atomic import atomic_write
from dupl.checksum import file_sha256
from dupl.places import cache_folder
from dupl.terminal import LastingProgress

Result = TypeVar("Result")
Entry = list[int | str]  # size, time of the last change in ns, digest
THREADS = 8
SETTLED = 2.0  # seconds since its last change after which a file's digest is kept: until then it may change unseen
MISSING = "missing"


def file_digests(files: Sequence[Path]) -> list[str]:
    """Return the SHA-256 of each file's bytes, 32 hexadecimal digits of it; "missing" where it cannot be read."""
    folders = [os.path.abspath(file.parent) for file in files]
    known = {folder: _read(folder) for folder in set(folders)}
    stats = list(_in_threads(_stat, files))
    found: list[str] = [MISSING] * len(files)
    unread: list[int] = []
    for i, stat in enumerate(stats):
        if stat is None:
            continue
        entry = known[folders[i]].get(files[i].name)
        if entry is not None and entry[:2] == [*stat]:
            found[i] = str(entry[2])
        else:
            unread.append(i)
    changed = set()
    with LastingProgress("reading files, once") as progress:
        digests = _in_threads(_digest, [files[i] for i in unread])
        for done, (i, digest) in enumerate(zip(unread, digests, strict=True), 1):
            found[i] = digest
            stat = stats[i]
            if stat is not None and digest != MISSING and time.time() - stat[1] / 1e9 > SETTLED:
                known[folders[i]][files[i].name] = [*stat, digest]
                changed.add(folders[i])
            progress(done, len(unread))
    for folder in changed:
        with suppress(OSError):  # without a cache the files are read again
            atomic_write(_file(folder), json.dumps(known[folder]))
    return found


def file_digest(file: Path) -> str:
    """Return the digest of one file; see `file_digests`."""
    return file_digests([file])[0]


def _in_threads(work: Callable[[Path], Result], files: Sequence[Path]) -> Iterator[Result]:
    """Apply a function to all files in threads; results come in order, as they are ready."""
    if len(files) < 2:
        yield from map(work, files)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(work, files)


def _stat(file: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _digest(file: Path) -> str:
    try:
        return file_sha256(file)[:32]
    except OSError:
        return MISSING


def _file(folder: str) -> Path:
    """Return the cache of a folder's files."""
    return cache_folder() / "digests" / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json"


def _read(folder: str) -> dict[str, Entry]:
    try:
        known = json.loads(_file(folder).read_text(encoding="utf-8"))
        return {name: entry for name, entry in known.items() if len(entry) == 3}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}
