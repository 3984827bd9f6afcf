"""Cropping a photo and its mask at one position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dupl.structures import IGNORE

Box = tuple[int, int, int, int]  # y0, y1, x0, x1; the ends are not included


@dataclass(frozen=True)
class Placement:
    """The position of a crop on a scaled photo.

    Attributes:
        crop: Side of the crop.
        size: Height and width of the photo.
        scaled: Height and width after scaling.
        flip: Whether the shown part is mirrored.
        corner: Row and column of the scaled photo where the shown part starts.
        box: Position of that part in the crop.
    """

    crop: int
    size: tuple[int, int]
    scaled: tuple[int, int]
    flip: bool
    corner: tuple[int, int]
    box: Box

    def image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the crop (C, C, 3) of a photo (H, W, 3), black outside the box."""
        return self._shown(image, Image.Resampling.BILINEAR, 0)

    def mask(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the crop (C, C) of a mask (H, W), nearest neighbour, 255 outside the box."""
        return self._shown(mask, Image.Resampling.NEAREST, IGNORE)

    def _shown(self, pixels: NDArray[np.uint8], how: Image.Resampling, fill: int) -> NDArray[np.uint8]:
        """Scale, flip, pad and crop; only the part that the crop shows is computed, so a huge photo costs no more."""
        (height, width), (top, left), (y0, y1, x0, x1) = self.size, self.corner, self.box
        ry, rx = height / self.scaled[0], width / self.scaled[1]  # source pixels per scaled pixel
        if self.scaled == self.size:
            part = pixels[top : top + y1 - y0, left : left + x1 - x0]
        else:
            source = (left * rx, top * ry, (left + x1 - x0) * rx, (top + y1 - y0) * ry)
            source = (source[0], source[1], min(source[2], width), min(source[3], height))
            part = np.asarray(Image.fromarray(pixels).resize((x1 - x0, y1 - y0), how, box=source))
        crop = np.full((self.crop, self.crop, *pixels.shape[2:]), fill, np.uint8)
        crop[y0:y1, x0:x1] = part[:, ::-1] if self.flip else part
        return crop
