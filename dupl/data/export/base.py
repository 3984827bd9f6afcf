"""What every export of label maps has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dupl.structures import IGNORE

Labels = NDArray[np.uint8]  # label ids, (H, W)
Mask = NDArray[np.bool_]  # (H, W)


class Export(ABC):
    """Label maps of many images in one format.

    Attributes:
        out: Folder of the results.
        classes: Class names by label id, background first.
    """

    def __init__(self, out: Path, classes: Sequence[str]) -> None:
        """Keep the folder and the classes; nothing is written yet."""
        self.out, self.classes = Path(out), tuple(classes)

    @abstractmethod
    def add(self, name: str, photo: Path, labels: Labels) -> None:
        """Add an image.

        Args:
            name: Of the image, relative and without extension.
            photo: Its file.
            labels: Label ids of the upright photo, (H, W).
        """

    @abstractmethod
    def close(self) -> None:
        """Write what belongs to all images."""

    def regions(self, labels: Labels) -> list[tuple[int, Mask]]:
        """Return the label ids of the classes in a map, without background and void, each with its pixels."""
        present = [int(k) for k in np.unique(labels) if 0 < k < min(len(self.classes), IGNORE)]
        return [(k, labels == k) for k in present]
