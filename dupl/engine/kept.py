"""Label maps on disk, one palette PNG per image and map, which a repeated command goes on from."""

from __future__ import annotations

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
from dupl.report.figures import save_palette_png


class KeptLabels:
    """A folder of label maps that belong to one checkpoint and one way of making them.

    Args:
        folder: Of the PNGs; what they were made of stands in a JSON file beside it.
        made_of: Checkpoint and settings, as plain values.
        pattern: Of a file, with {map} ("1", "2", "mean") and {image}.
        note: Where that JSON file is instead.
        replace: Whether maps made of something else are removed, or refused.

    Raises:
        UserError: The folder holds maps made of something else, and ``replace`` is False.
    """

    def __init__(
        self,
        folder: Path,
        made_of: Mapping[str, Any],
        pattern: str = "{map}/{image}.png",
        note: Path | None = None,
        replace: bool = True,
    ) -> None:
        self.folder, self.pattern = folder, pattern
        note = note or folder.parent / f"{folder.name}.json"
        text = json.dumps(dict(made_of), indent=2, sort_keys=True) + "\n"
        if note.is_file() and note.read_text() == text:
            return
        if folder.exists():
            if not replace:
                raise UserError(f"{folder} holds label maps of other weights or settings: choose another folder")
            shutil.rmtree(folder)
        atomic_write(note, text.encode())

    def path(self, image: str, name: str) -> Path:
        """Where the map of a name ("seg/1") of an image is or belongs."""
        return self.folder / self.pattern.format(map=name.split("/")[1], image=image)

    def write(self, image: str, labels: Mapping[str, NDArray[np.uint8]]) -> None:
        """Keep maps by name, each (H, W)."""
        for name, single in labels.items():
            save_palette_png(single, self.path(image, name))

    def read(self, image: str, names: Sequence[str]) -> dict[str, NDArray[np.uint8]] | None:
        """Maps by name; None where one is missing or cannot be read."""
        labels = {}
        for name in names:
            try:
                with Image.open(self.path(image, name)) as picture:
                    labels[name] = np.array(picture)
            except (OSError, SyntaxError, ValueError):
                return None
            if labels[name].dtype != np.uint8 or labels[name].ndim != 2:
                return None
        return labels
