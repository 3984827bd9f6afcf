"""Find the folders of runs below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dupl.runs import layout


class Known:
    """What was found before; here nothing."""

    def has(self, folder: str) -> bool:
        """Tell whether a folder held a run, and still does."""
        return False

    def real_paths(self) -> Iterator[str]:
        """Yield the real paths of the folders that are known."""
        return iter(())


def folders(root: str, skipped: dict[Path, str], known: Known | None = None) -> Iterator[str]:
    """Yield every folder of a run at or below a folder, and nothing below those.

    Hidden folders are skipped, links to folders are followed, and no folder is yielded twice.

    Args:
        root: The folder.
        skipped: Receives what cannot be read, and why.
        known: What was found before, which is not looked into again.
    """
    yield from _below(root, skipped, known or Known(), set())


def _below(folder: str, skipped: dict[Path, str], known: Known, seen: set[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in seen:  # a link that leads back
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            names = {entry.name: entry for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        skipped[Path(folder)] = str(error)
        return
    if layout.STATUS in names:
        yield folder
    elif layout.CONFIG in names and layout.REMAINS & names.keys():
        skipped[Path(folder)] = f"{layout.STATUS} is missing"
    else:
        new = []
        for name, entry in names.items():
            try:
                inside = not name.startswith(".") and entry.is_dir()
            except OSError as error:  # a link that leads nowhere, or where one may not look
                skipped[Path(entry.path)] = str(error)
                continue
            if inside and known.has(entry.path):
                yield entry.path
            elif inside:
                new.append(entry.path)
        if new:
            seen.update(known.real_paths())
        for path in new:
            yield from _below(path, skipped, known, seen)
