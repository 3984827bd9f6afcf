"""The samples that a loader yields: for training, for evaluation, and photos as they are stored."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class TrainSample(TypedDict):
    """One training sample; C is the side of the crop.

    Attributes:
        image: Normalised crop, float32 (3, C, C).
        tags: 0/1 per foreground class, float32 (K,).
        box: y0, y1, x0, x1 of the part of the crop that shows the photo, int64 (4,).
        seed: Seeds the later draws for this sample (the strong augmentation), int64 ().
        name: Name of the image.
    """

    image: Tensor
    tags: Tensor
    box: Tensor
    seed: Tensor
    name: str


class MaskedSample(TrainSample):
    """One training sample with its mask.

    Attributes:
        mask: Label ids of the crop, 255 for void and outside the photo, int64 (C, C).
    """

    mask: Tensor


class ContrastSample(TrainSample):
    """One training sample with the further views of the class token contrast.

    Attributes:
        other_view: A second global view, normalised, float32 (3, C, C).
        local_source: The image in other colours, from which local crops are cut, normalised, float32 (3, C, C).
    """

    other_view: Tensor
    local_source: Tensor


class EvalSample(TypedDict):
    """One image for evaluation.

    Attributes:
        image: Normalised, float32 (3, size, size), or (3, H, W) where no size is set.
        mask: Label ids at the original size, uint8 (H, W); None where the image has none.
        tags: 0/1 per foreground class, float32 (K,).
        name: Name of the image.
        index: Its position in the data set.
    """

    image: Tensor
    mask: Tensor | None
    tags: Tensor
    name: str
    index: int


class PhotoSample(TypedDict):
    """One photo as it is stored.

    Attributes:
        image: RGB, uint8 (H, W, 3).
        mask: Label ids, uint8 (H, W); None where the photo has none.
        tags: 0/1 per foreground class, float32 (K,); None where they are not requested.
        index: Its position in the data set.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    tags: NDArray[np.float32] | None
    index: int
