"""The interface of every data set: raw images, image-level tags and, for evaluation only, masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dupl.errors import UserError


class ImageSet(ABC):
    """A list of named images with tags; a subclass sets the attributes and reads image, tags and mask i.

    Nothing is augmented or normalised here; `dupl.data.views` does that. A file that is missing or
    unreadable raises `UserError` only when it is read, so that a check can list all of them.

    Attributes:
        classes: Names of the classes, background first; a class's position is its label id.
        names: One unique name per image, relative to the folder of images and without extension.
        has_masks: Whether at least one image has a mask.
        class_note: What to say of classes that the data set names itself; empty where they are stated.
        upright: Whether masks were drawn on photos turned by their EXIF orientation; None where it is not said.
    """

    classes: tuple[str, ...]
    names: list[str]
    has_masks: bool = False
    class_note: str = ""
    upright: bool | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    @property
    def K(self) -> int:
        """Number of foreground classes."""
        return len(self.classes) - 1

    @abstractmethod
    def image(self, i: int) -> NDArray[np.uint8]:
        """Return image i, RGB, (H, W, 3)."""

    @abstractmethod
    def tags(self, i: int) -> NDArray[np.float32]:
        """Return 0/1 for each foreground class of image i, (K,): entry k belongs to label id k + 1."""

    @abstractmethod
    def mask(self, i: int) -> NDArray[np.uint8] | None:
        """Return the label ids of image i, 0..K or 255 for void, (H, W); None where there is no mask."""

    def where(self, i: int) -> str:
        """Return the origin of image i for messages: its file if it has one."""
        return self.names[i]

    def photo_file(self, i: int) -> Path | None:
        """Return the file of image i, where it should be if it is missing; None where images are made by code."""
        return None

    def mask_file(self, i: int) -> Path | None:
        """Return the file of mask i; None where there is none, or masks are made by code."""
        return None

    def mask_hint(self) -> str:
        """Return where a mask that is missing is expected, and a file that may be meant; empty if unknown."""
        return ""

    def _tag_vector(self, present: Iterable[str]) -> NDArray[np.float32]:
        """Turn names of foreground classes into a 0/1 vector (K,).

        Raises:
            UserError: A name is no foreground class, such as "background", which every image has.
        """
        vector = np.zeros(self.K, np.float32)
        for name in present:
            if name not in self.classes[1:]:
                raise UserError(f"'{name}' is no foreground class; there are {', '.join(self.classes[1:])}")
            vector[self.classes.index(name) - 1] = 1
        return vector
