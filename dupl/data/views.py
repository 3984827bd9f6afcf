"""What a loader reads: augmented training samples without masks, and whole images for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dupl.data.base import ImageSet
from dupl.data.transforms import WeakAugment
from dupl.structures import IMAGE_MEAN, IMAGE_STD

_GAIN = torch.tensor([1 / (255 * std) for std in IMAGE_STD]).view(3, 1, 1)
_SHIFT = torch.tensor([-mean / std for mean, std in zip(IMAGE_MEAN, IMAGE_STD, strict=True)]).view(3, 1, 1)


class TrainSample(TypedDict):
    """One training sample; C is the side of the crop.

    Attributes:
        image: Normalised crop, float32 (3, C, C).
        tags: 0/1 per foreground class, float32 (K,).
        box: y0, y1, x0, x1 of the part of the crop that shows the photo, int64 (4,).
        seed: Seeds what is drawn later for this sample (the strong augmentation), int64 ().
        name: Name of the image.
    """

    image: Tensor
    tags: Tensor
    box: Tensor
    seed: Tensor
    name: str


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
    """One photo as it is.

    Attributes:
        image: RGB, uint8 (H, W, 3).
        mask: Label ids, uint8 (H, W); None where the photo has none.
        tags: 0/1 per foreground class, float32 (K,); None where they are not asked for.
        index: Its position in the data set.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    tags: NDArray[np.float32] | None
    index: int


class TrainView(Dataset[TrainSample]):
    """Training samples by (epoch, index): one pair is one sample, whichever worker asks and when."""

    def __init__(self, source: ImageSet, augment: Mapping[str, Any] | WeakAugment, seed: int) -> None:
        """Wrap a data set.

        Args:
            source: Images and tags; its masks are never read.
            augment: Settings of the weak augmentation.
            seed: Seed of the run, at least 0.

        Raises:
            UserError: A wrong setting of the augmentation.
        """
        self.source = source
        self.augment = augment if isinstance(augment, WeakAugment) else WeakAugment.from_dict(augment)
        self.seed = seed

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.source)

    def __getitem__(self, key: tuple[int, int]) -> TrainSample:
        """Return the sample of an image in an epoch."""
        epoch, index = key
        rng = Generator(PCG64(SeedSequence([self.seed, epoch, index])))
        seed = int(rng.integers(2**63 - 1))  # drawn first: it does not depend on the augmentation
        crop, box = self.augment(self.source.image(index), rng)
        return TrainSample(
            image=normalize(crop),
            tags=torch.from_numpy(self.source.tags(index)),
            box=torch.tensor(box),
            seed=torch.tensor(seed),
            name=self.source.names[index],
        )


class EvalView(Dataset[EvalSample]):
    """Whole images, squashed to a square as the training-time evaluation does, or at their own size."""

    def __init__(self, source: ImageSet, size: int | None = None) -> None:
        """Wrap a data set.

        Args:
            source: Images, tags and, where there are any, masks.
            size: Side of the square that images are squashed to; None keeps their size.
        """
        self.source = source
        self.size = size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.source)

    def __getitem__(self, index: int) -> EvalSample:
        """Return image `index` with its truth."""
        image = normalize(self.source.image(index))
        if self.size is not None:
            image = F.interpolate(image[None], (self.size, self.size), mode="bilinear", align_corners=False)[0]
        mask = self.source.mask(index)
        return EvalSample(
            image=image,
            mask=None if mask is None else torch.from_numpy(mask),
            tags=torch.from_numpy(self.source.tags(index)),
            name=self.source.names[index],
            index=index,
        )


class PhotoView(Dataset[PhotoSample]):
    """Photos at their own size, in plain numpy."""

    def __init__(self, source: ImageSet, tags: bool = False) -> None:
        """Wrap a data set.

        Args:
            source: Photos and, where there are any, masks.
            tags: Whether to read tags; without, the set need not have any.
        """
        self.source = source
        self.tags = tags

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.source)

    def __getitem__(self, index: int) -> PhotoSample:
        """Return photo `index`."""
        return PhotoSample(
            image=self.source.image(index),
            mask=self.source.mask(index),
            tags=self.source.tags(index) if self.tags else None,
            index=index,
        )


def normalize(image: NDArray[np.uint8]) -> Tensor:
    """Return an RGB image (H, W, 3) with ImageNet mean and deviation taken out, float32 (3, H, W)."""
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()
    return torch.addcmul(_SHIFT, planes, _GAIN)
