"""A random part of another data set: a sweep holds one out of training to search on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from dupl.atomic import utf8
from dupl.config.kinds import Count, In, Slot
from dupl.data.base import ImageSet
from dupl.errors import UserError
from dupl.registry import DATASETS


@DATASETS.register_module()
class Part(ImageSet):
    """The images that are held out of a data set, or all others, in the order of the set.

    Which images are held out depends only on the seed and their names, not on the folder of the set.
    """

    def __init__(
        self,
        of: Annotated[dict[str, Any], Slot("data set")],
        held: bool,
        share: Annotated[float, In("(0, 1)")] | None = None,
        count: Count | None = None,
        seed: int = 0,
        split: str = "",
    ) -> None:
        """Draw the images without reading any.

        Args:
            of: The whole data set, as in a recipe.
            held: True takes the images that are held out, False all others.
            share: Share of the images to hold out, above 0 and below 1.
            count: Number of images to hold out, instead of a share.
            seed: Seed of the draw.
            split: Name of this part in results.

        Raises:
            UserError: Neither or both of share and count are given, or one of the two parts would be empty.
        """
        if (share is None) == (count is None):
            raise UserError("a part of a data set needs either share or count; give one of them")
        self.whole: ImageSet = DATASETS.build(dict(of))
        self.classes, self.has_masks, self.split = self.whole.classes, self.whole.has_masks, split
        every = len(self.whole)
        size = count if count is not None else round((share or 0.0) * every)
        if not 0 < size < every:
            raise UserError(f"a part of {size} of {every} images is not possible; hold out at least one, and leave one")
        ranked = sorted(range(every), key=lambda i: hashlib.sha256(utf8(f"{seed} {self.whole.names[i]}")).digest())
        self.upright, self.class_note = self.whole.upright, self.whole.class_note
        self.positions = sorted(ranked[:size] if held else ranked[size:])
        self.names = [self.whole.names[i] for i in self.positions]

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return image i of the part, RGB, (H, W, 3)."""
        return self.whole.image(self.positions[i])

    def tags(self, i: int) -> NDArray[np.float32]:
        """Return 0/1 for each foreground class of image i, (K,)."""
        return self.whole.tags(self.positions[i])

    def mask(self, i: int) -> NDArray[np.uint8] | None:
        """Return the labels of image i, (H, W)."""
        return self.whole.mask(self.positions[i])

    def where(self, i: int) -> str:
        """Return the origin of image i for messages."""
        return self.whole.where(self.positions[i])

    def photo_file(self, i: int) -> Path | None:
        """Return the file of image i."""
        return self.whole.photo_file(self.positions[i])

    def mask_file(self, i: int) -> Path | None:
        """Return the file of mask i."""
        return self.whole.mask_file(self.positions[i])

    def mask_hint(self) -> str:
        """Return where a mask is expected, and a file that may be meant."""
        return self.whole.mask_hint()
