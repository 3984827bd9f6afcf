"""What the masks of a data set hold, and what that means for the mIoU or for training, in one line."""

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
        among = "" if self.read == self.masks else f" in the {self.read} masks looked at"
        return text + self._content(
            classes, among, "the mIoU is of background alone", "so the mIoU is of {shown} of {all} classes"
        )

    def training_line(self, classes: tuple[str, ...]) -> str:
        """Return what a model that learns from the masks can learn, in one line; classes have the background first."""
        text = f"{self.masks} of {self.images} images have a mask"
        if self.masks < self.images:
            text += ", and training ends at the first image without one"
        among = "" if self.read == self.masks else f" in the {self.read} masks looked at"
        return text + self._content(classes, among, "only background can be learnt", "which cannot be learnt")

    def _content(self, classes: tuple[str, ...], among: str, background: str, lacking: str) -> str:
        """Return what the masks that were read show.

        Args:
            classes: Names of the classes, background first.
            among: Which masks were read, where not all were; then absent classes are not told.
            background: What follows where they hold nothing but background.
            lacking: What follows where they lack classes.
        """
        if not self.read:
            return ""
        if not self.areas[1 : len(classes)].any():
            void = f" and {IGNORE} (void)" if self.areas[IGNORE] else ""
            ids = f"write the ids 1 to {len(classes) - 1} of the classes into them"
            return f"; they hold only 0 (background){void}{among}: {background}; {ids}"
        absent = [name for name, area in zip(classes, self.areas, strict=False) if not area]
        if among or not absent:
            return "" if among else f", which show all {len(classes)} classes"
        names = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
        return f"; none shows {names}, " + lacking.format(shown=len(classes) - len(absent), all=len(classes))


def with_hint(line: str, summary: MaskSummary, source: ImageSet) -> str:
    """Append to a line on masks where one that is missing is expected, and a file that may be meant."""
    hint = source.mask_hint() if summary.masks < summary.images else ""
    return f"{line} ({hint})" if hint else line


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
