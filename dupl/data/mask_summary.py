"""What the masks of a data set hold, and what that means for the mIoU, in one line."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dupl.data.base import ImageSet
from dupl.structures import IGNORE


@dataclass
class MaskSummary:
    """Counts over the masks of a data set.

    Attributes:
        images: Images of the data set.
        masks: Images that have a mask.
        read: Masks whose labels were counted.
        areas: Pixels of each label id in them, (256,).
    """

    images: int
    masks: int
    read: int = 0
    areas: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, mask: NDArray[np.uint8]) -> None:
        """Count the labels of one mask."""
        self.read += 1
        self.areas += np.bincount(mask.ravel(), minlength=256)

    def line(self, classes: tuple[str, ...]) -> str:
        """Return what is judged, in one line; classes have the background first."""
        if not self.masks:
            return f"no image of {self.images} has a mask: there is no mIoU, and its tags alone (mAP, F1) judge it"
        text = f"{self.masks} of {self.images} images have a mask"
        if self.masks < self.images:
            text += ", and the mIoU is of these alone"
        if not self.read:
            return text
        among = "" if self.read == self.masks else f" in the {self.read} masks looked at"
        if not self.areas[1 : len(classes)].any():
            void = f" and {IGNORE} (void)" if self.areas[IGNORE] else ""
            ids = f"write the ids 1 to {len(classes) - 1} of the classes into them"
            return f"{text}; they hold only 0 (background){void}{among}: the mIoU is of background alone; {ids}"
        absent = [name for name, area in zip(classes, self.areas, strict=False) if not area]
        if among or not absent:
            return text if among else f"{text}, which show all {len(classes)} classes"
        names = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
        return f"{text}; none shows {names}, so the mIoU is of {len(classes) - len(absent)} of {len(classes)} classes"


def summarize_masks(source: ImageSet, most: int = 256) -> MaskSummary:
    """Read the masks of a data set and count their labels.

    Args:
        source: The data set.
        most: How many masks are read, evenly spread.

    Raises:
        UserError: A mask cannot be read.
    """
    if not source.has_masks:
        return MaskSummary(len(source), 0)
    made_by_code = all(source.mask_file(i) is None for i in range(len(source)))
    having = [i for i in range(len(source)) if made_by_code or source.mask_file(i) is not None]
    found = MaskSummary(len(source), len(having))
    for i in having[:: -(-len(having) // most)]:
        if (mask := source.mask(i)) is not None:
            found.add(mask)
    return found
