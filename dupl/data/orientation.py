"""Masks of photos that a viewer turns by their EXIF orientation.

Photos are always turned upright. A mask may have been drawn on the turned photo or on the stored pixels:

- Orientations 5 to 8 swap the sides of a photo. Unless it is square, the size of the mask tells which it was.
- Orientations 2 to 4 and square photos leave the size as it is. Then the data set must state ``upright``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags

from dupl.data.files import opened
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.data.base import ImageSet

Mask = NDArray[np.uint8]
# What makes stored pixels upright, by EXIF orientation; 1 needs nothing, and other values are not defined.
TURNS: dict[int, Callable[[Mask], Mask]] = {
    2: np.fliplr,
    3: lambda mask: np.rot90(mask, 2),
    4: np.flipud,
    5: lambda mask: mask.T,
    6: lambda mask: np.rot90(mask, -1),
    7: lambda mask: np.rot90(mask, 2).T,
    8: np.rot90,
}
REMEDY = (
    "set upright=True in the data set if masks were drawn on the turned photos, upright=False if on the stored ones"
)


def read_orientation(photo: Path) -> tuple[int, tuple[int, int]]:
    """Return the EXIF orientation of a photo, 1 to 8, and its stored size (H, W); only its header is read.

    Raises:
        UserError: The file is missing or is no image.
    """
    with opened(photo, "image") as picture:
        turn = picture.getexif().get(ExifTags.Base.Orientation, 1)
        return (turn if turn in TURNS else 1), (picture.height, picture.width)


def is_ambiguous(turn: int, stored: tuple[int, int]) -> bool:
    """Return whether the size of a mask cannot tell on which form of the photo it was drawn."""
    return turn != 1 and (turn < 5 or stored[0] == stored[1])


def upright_mask(mask: Mask, photo: Path, upright: bool | None) -> Mask:
    """Return a mask as it lies on the upright photo.

    Args:
        mask: Label ids (H, W).
        photo: The file of its photo.
        upright: Whether masks were drawn on the turned photos; None where the data set does not say. It counts only
            where the size of the mask cannot tell.

    Raises:
        UserError: It cannot be told. (A photo that cannot be read is reported where it is read.)
    """
    turn, stored = _orientation_or_none(photo)
    if turn == 1:
        return mask
    drawn_upright = upright if is_ambiguous(turn, stored) else mask.shape != stored
    if drawn_upright is None:
        raise UserError(f"{photo} has EXIF orientation {turn}, and its mask may lie on either form of it; {REMEDY}")
    return mask if drawn_upright else np.ascontiguousarray(TURNS[turn](mask))


def check_orientations(source: ImageSet, name: str) -> None:
    """Refuse a data set with masks that may lie on the turned or on the stored photo.

    Args:
        source: The data set; headers of the photos that have masks are read.
        name: What the recipe calls it.

    Raises:
        UserError: There are such photos, and the data set does not say what its masks were drawn on.
    """
    if source.upright is not None:
        return
    found = []
    for i in range(len(source)):
        photo = source.photo_file(i)
        if photo is not None and source.mask_file(i) is not None and is_ambiguous(*_orientation_or_none(photo)):
            found.append(source.names[i])
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise UserError(
            f"{name}: masks of {', '.join(found[:5])}{more} may lie on the turned or on the stored photo, because of "
            f"their EXIF orientation; {REMEDY}"
        )


def _orientation_or_none(photo: Path) -> tuple[int, tuple[int, int]]:
    """Return orientation and size; "nothing to turn" for a photo that cannot be read, which is reported elsewhere."""
    try:
        return read_orientation(photo)
    except UserError:
        return 1, (0, 0)
