"""The colours of a label, shared by masks on disk and pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def colormap(n: int = 256) -> NDArray[np.uint8]:
    """Return the PASCAL VOC colours of the labels 0..n-1, RGB, (n, 3).

    Bits 0, 3 and 6 of a label give the top bits of red, bits 1, 4, 7 of green, bits 2 and 5 of blue.
    """
    labels = np.arange(n)
    colours = np.zeros((n, 3), np.int64)
    for shift in range(8):
        for channel in range(3):
            colours[:, channel] |= ((labels >> channel) & 1) << (7 - shift)
        labels >>= 3
    return colours.astype(np.uint8)
