"""Caches of label maps and logits on disk, with which a repeated command continues."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dupl.atomic import atomic_write
from dupl.errors import UserError
from dupl.report.figures.picture_files import save_palette_png


class Cache:
    """A folder of files made from one checkpoint with the same settings.

    Args:
        folder: Folder of the files; a JSON file beside it records what they were made of.
        made_of: Checkpoint and settings, as plain values.
        note: Another place of that JSON file.
        replace: Whether to remove files made of something else, instead of refusing them.

    Raises:
        UserError: The folder holds files made of something else, and ``replace`` is False.
    """

    def __init__(
        self, folder: Path, made_of: Mapping[str, Any], note: Path | None = None, replace: bool = True
    ) -> None:
        self.folder = folder
        if self.fits(folder, made_of, note):
            return
        if folder.exists():
            if not replace:
                raise UserError(f"{folder} holds label maps of other weights or settings; choose another folder")
            shutil.rmtree(folder)
        atomic_write(note or _note(folder), _text(made_of))

    @staticmethod
    def fits(folder: Path, made_of: Mapping[str, Any], note: Path | None = None) -> bool:
        """Return whether the files of a folder were made of exactly this."""
        note = note or _note(folder)
        return note.is_file() and note.read_text() == _text(made_of)


def _note(folder: Path) -> Path:
    """Return the file beside a folder that records what its files were made of."""
    return folder.parent / f"{folder.name}.json"


def _text(made_of: Mapping[str, Any]) -> str:
    """Return the content of that file."""
    return json.dumps(dict(made_of), indent=2, sort_keys=True) + "\n"


class LabelCache(Cache):
    """A cache of label maps, one palette PNG per image and map.

    Args:
        folder: See ``Cache``.
        made_of: See ``Cache``.
        pattern: Path of a file, with {map} ("1", "2", "mean") and {image}.
        note: See ``Cache``.
        replace: See ``Cache``.
    """

    def __init__(
        self,
        folder: Path,
        made_of: Mapping[str, Any],
        pattern: str = "{map}/{image}.png",
        note: Path | None = None,
        replace: bool = True,
    ) -> None:
        super().__init__(folder, made_of, note, replace)
        self.pattern = pattern

    def path(self, image: str, name: str) -> Path:
        """Return the file of an image's map of a name ("seg/1")."""
        return self.folder / self.pattern.format(map=name.split("/")[1], image=image)

    def write(self, image: str, labels: Mapping[str, NDArray[np.uint8]]) -> None:
        """Write maps by name, each (H, W)."""
        for name, single in labels.items():
            save_palette_png(single, self.path(image, name))

    def read(self, image: str, names: Sequence[str]) -> dict[str, NDArray[np.uint8]] | None:
        """Read maps by name; None where one is missing or cannot be read."""
        labels = {}
        for name in names:
            try:
                with Image.open(self.path(image, name), formats=["PNG"]) as picture:
                    labels[name] = np.array(picture)
            except Exception:  # corrupt in any way: it is made again
                return None
            if labels[name].dtype != np.uint8 or labels[name].ndim != 2:
                return None
        return labels


class LogitCache(Cache):
    """A cache of students' logits in the resolution of the patches, from which all maps follow without the network."""

    def path(self, image: str, student: int) -> Path:
        """Return the file of an image and a student, counted from 0."""
        return self.folder / str(student + 1) / f"{image}.npz"

    def write(self, image: str, student: int, scales: Sequence[NDArray[np.float32]]) -> None:
        """Write the logits of every scale, each (C, h, w)."""
        data = io.BytesIO()
        np.savez(data, *scales)
        atomic_write(self.path(image, student), data.getvalue())

    def read(self, image: str, student: int) -> list[NDArray[np.float32]] | None:
        """Read the logits of every scale; None where they are missing or cannot be read."""
        try:
            with np.load(self.path(image, student)) as file:
                return [file[name] for name in file.files]
        except Exception:  # corrupt in any way: it is made again
            return None
