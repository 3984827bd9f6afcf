"""A data set whose classes stand in another order than a trained model has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dupl.data.base import ImageSet
from dupl.errors import UserError


class InClassOrder(ImageSet):
    """The same images, tags and masks with the classes in another order.

    Args:
        whole: The data set.
        classes: The same class names in the order that is asked for, background first.
    """

    def __init__(self, whole: ImageSet, classes: Sequence[str]) -> None:
        self.whole, self.classes = whole, tuple(classes)
        self.names, self.has_masks, self.upright = whole.names, whole.has_masks, whole.upright
        self._from = [whole.classes.index(name) for name in classes]  # label id here -> label id there
        self._label = np.arange(256, dtype=np.uint8)
        self._label[self._from] = np.arange(len(self._from), dtype=np.uint8)

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return image i, RGB, (H, W, 3)."""
        return self.whole.image(i)

    def tags(self, i: int) -> NDArray[np.float32]:
        """Return 0/1 for each foreground class of image i, (K,)."""
        return self.whole.tags(i)[[k - 1 for k in self._from[1:]]]

    def mask(self, i: int) -> NDArray[np.uint8] | None:
        """Return the labels of image i, (H, W); ids that name no class stay."""
        found = self.whole.mask(i)
        return None if found is None else self._label[found]

    def where(self, i: int) -> str:
        """Return the origin of image i for messages."""
        return self.whole.where(i)

    def photo_file(self, i: int) -> Path | None:
        """Return the file of image i."""
        return self.whole.photo_file(i)

    def mask_file(self, i: int) -> Path | None:
        """Return the file of mask i."""
        return self.whole.mask_file(i)

    def mask_hint(self) -> str:
        """Return where a mask is expected, and a file that may be meant."""
        return self.whole.mask_hint()


def in_class_order(source: ImageSet, trained: Sequence[str], what: str) -> tuple[ImageSet, str]:
    """Return a data set with its classes in the order that a model was trained with, and a line where that differs.

    Args:
        source: The data set.
        trained: Class names of the model, background first.
        what: The data set in messages, such as "data.val".

    Raises:
        UserError: It has other classes.
    """
    if source.classes == tuple(trained):
        return source, ""
    check_same_classes(source.classes, trained, what)
    order = ", ".join(source.classes[1:])
    return InClassOrder(source, trained), f"{what} has the classes in another order ({order}): they are mapped by name"


def check_same_classes(classes: Sequence[str], trained: Sequence[str], what: str) -> None:
    """Check that class names are those of a model, in whatever order.

    Raises:
        UserError: They are not, or another one stands first, for the background.
    """
    if sorted(classes) == sorted(trained) and classes[0] == trained[0]:
        return
    other = [name for name in classes if name not in trained]
    lacking = [name for name in trained if name not in classes]
    parts = [
        f"{', '.join(names)} {how}" for names, how in ((other, "only there"), (lacking, "only in the model")) if names
    ]
    raise UserError(
        f"the model was trained on {', '.join(trained[1:])}, and {what} has {', '.join(classes[1:])} "
        f"({'; '.join(parts) or 'another background'}): name the same classes by classes=[...]"
    )
