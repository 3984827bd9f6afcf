"""What a loader reads: augmented training samples, of tags alone unless asked, and whole images for evaluation."""

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
from dupl.data.transforms import Box, WeakAugment
from dupl.errors import UserError
from dupl.structures import IGNORE, IMAGE_MEAN, IMAGE_STD

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


class MaskedSample(TrainSample):
    """One training sample of a view with masks.

    Attributes:
        mask: Label ids of the crop, 255 for void and outside the photo, int64 (C, C).
    """

    mask: Tensor


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

    def __init__(
        self, source: ImageSet, augment: Mapping[str, Any] | WeakAugment, seed: int, masks: bool = False
    ) -> None:
        """Wrap a data set.

        Args:
            source: Images and tags; its masks are never read unless asked for.
            augment: Settings of the weak augmentation.
            seed: Seed of the run, at least 0.
            masks: Whether samples hold masks: only for the fully supervised counterpart, ``Supervised``.

        Raises:
            UserError: A wrong setting of the augmentation, or masks are asked for and there are none.
        """
        if masks and not source.has_masks:
            raise UserError("this model learns from masks, and data.train has none: train another recipe on it")
        self.source, self.masks = source, masks
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
        image = self.source.image(index)
        if self.masks:
            crop, box, mask = self.augment.with_mask(image, self._mask(index, image.shape[:2]), rng)
            return MaskedSample(**self._sample(index, crop, box, seed), mask=torch.from_numpy(mask).long())
        return self._sample(index, *self.augment(image, rng), seed)

    def _sample(self, index: int, crop: NDArray[np.uint8], box: Box, seed: int) -> TrainSample:
        return TrainSample(
            image=normalize(crop),
            tags=torch.from_numpy(self.source.tags(index)),
            box=torch.tensor(box),
            seed=torch.tensor(seed),
            name=self.source.names[index],
        )

    def _mask(self, index: int, size: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return a mask that is there, has the photo's size and only labels that exist."""
        mask, where = self.source.mask(index), f"mask of image {self.source.names[index]}"
        if mask is None:
            raise UserError(f"{where} is missing, and this model learns from masks: take the image out of the list")
        if mask.shape != size:
            raise UserError(f"{where}: {mask.shape[0]}x{mask.shape[1]} pixels, its photo has {size[0]}x{size[1]}")
        if (unknown := mask[(mask > self.source.K) & (mask != IGNORE)]).size:
            raise UserError(f"{where} holds label {unknown[0]}; there are 0 to {self.source.K}, and 255 for void")
        return mask


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
    return torch.addcmul(_SHIFT, planes, _GAIN, out=planes)
