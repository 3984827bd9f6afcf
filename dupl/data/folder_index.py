"""Finding a file of a folder by the name of its image."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path


class FolderIndex:
    """The files below a folder by relative name, with and without extension, in whichever Unicode form.

    The folder is listed once, when a file is first looked for. Hidden files, such as "._a.jpg" of macOS, do not count.
    """

    def __init__(self, folder: Path, suffixes: Sequence[str]) -> None:
        """Name the folder and the extensions (lower case, with the dot) of the files that count."""
        self.folder, self.suffixes = folder, tuple(suffixes)

    def find(self, name: str) -> list[Path]:
        """Return the files that a name may mean, sorted."""
        return self._files.get(unicodedata.normalize("NFC", name), [])

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() in self.suffixes and not path.name.startswith("."):
                relative = path.relative_to(self.folder)
                for name in (relative, relative.with_suffix("")):
                    found.setdefault(unicodedata.normalize("NFC", name.as_posix()), []).append(path)
        return found


def similar_file(expected: Path, photo: Path | None, folders: Iterable[Path]) -> Path | None:
    """Return a file that may be the mask which is not at its expected place; None where nothing looks like one.

    Args:
        expected: Where the mask should be.
        photo: The file of its image, which does not count.
        folders: Where to look, the most likely folder first.
    """
    for folder in folders:
        files = sorted(f for f in _files_in(folder) if f != photo and not f.name.startswith("."))
        if close := [f for f in files if f.stem.startswith(expected.stem)]:
            return close[0]
        if folder == expected.parent and files:
            return files[0]
    return None


def told_places(expected: Path, photo: Path | None, folders: Iterable[Path]) -> str:
    """Return where a missing mask is expected and, if there is one, the file that may be meant."""
    found = similar_file(expected, photo, folders)
    return f"expected {expected}" + (f", found {found}" if found is not None else "")


def _files_in(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_file()]
    except OSError:
        return []
