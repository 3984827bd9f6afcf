"""Class names of the public data sets, in the order of their label ids, and the colours of a label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


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
