"""Some of the images of another set, drawn by a seed: what a sweep searches on is held out of training."""

from __future__ import annotations

import hashlib
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
    """The images that are held out of a set, or the rest of them, in the set's order.

    Which ones depends on the seed and the images' names alone: the same name is held out wherever the set lies.
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
        """Draw the images; none is read.

        Args:
            of: The whole set, as the recipe would have it.
            held: True takes those that are held out, False the rest.
            share: Of the images that are held out, above 0 and below 1.
            count: Of the images that are held out, instead of a share.
            seed: Another seed, other images.
            split: What this part is called in results.

        Raises:
            UserError: Neither or both of share and count, or nothing left on one of the sides.
        """
        if (share is None) == (count is None):
            raise UserError("a part of a data set needs either its share or its count")
        self.whole: ImageSet = DATASETS.build(dict(of))
        self.classes, self.has_masks, self.split = self.whole.classes, self.whole.has_masks, split
        every = len(self.whole)
        size = count if count is not None else round((share or 0.0) * every)
        if not 0 < size < every:
            raise UserError(f"a part of {size} of {every} images: hold out at least one, and leave one")
        ranked = sorted(range(every), key=lambda i: hashlib.sha256(utf8(f"{seed} {self.whole.names[i]}")).digest())
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
        """Return where image i comes from."""
        return self.whole.where(self.positions[i])
