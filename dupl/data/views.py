"""Torch data sets over an `ImageSet`: augmented training samples, and whole images for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dupl.data.base import ImageSet
from dupl.data.contrast_augment import ContrastAugment
from dupl.data.placement import Box
from dupl.data.samples import ContrastSample, EvalSample, MaskedSample, PhotoSample, TrainSample
from dupl.data.transforms import WeakAugment
from dupl.errors import UserError
from dupl.structures import IGNORE, IMAGE_MEAN, IMAGE_STD

_GAIN = torch.tensor([1 / (255 * std) for std in IMAGE_STD]).view(3, 1, 1)
_SHIFT = torch.tensor([-mean / std for mean, std in zip(IMAGE_MEAN, IMAGE_STD, strict=True)]).view(3, 1, 1)


class TrainView(Dataset[TrainSample]):
    """Training samples by (epoch, index): a pair gives the same sample in whichever worker and order it is read."""

    def __init__(
        self,
        source: ImageSet,
        augment: Mapping[str, Any] | WeakAugment,
        seed: int,
        masks: bool = False,
        contrast: ContrastAugment | None = None,
    ) -> None:
        """Wrap a data set.

        Args:
            source: Images and tags; its masks are read only with `masks`.
            augment: Settings of the weak augmentation.
            seed: Seed of the run, at least 0.
            masks: Whether samples hold masks: only for the fully supervised counterpart, ``Supervised``.
            contrast: Makes the further views of the class token contrast; None where it is off.

        Raises:
            UserError: A setting of the augmentation is wrong, or masks are requested and there are none.
        """
        if masks and not source.has_masks:
            raise UserError("this model learns from masks, and data.train has none; choose another recipe or data set")
        self.source, self.masks, self.contrast = source, masks, contrast
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
        if self.contrast is not None:
            views = self.contrast(self.augment, image, rng)
            return ContrastSample(
                **self._sample(index, views.crop, views.box, seed),
                other_view=normalize(views.other_view),
                local_source=normalize(views.local_source),
            )
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
        """Return an image's mask; refuse one that is missing, has another size than the photo, or unknown labels."""
        mask, where = self.source.mask(index), f"mask of image {self.source.names[index]}"
        if mask is None:
            raise UserError(f"{where} is missing, and this model learns from masks; remove the image from the list")
        if mask.shape != size:
            raise UserError(
                f"{where}: {mask.shape[0]}x{mask.shape[1]} pixels, its photo has {size[0]}x{size[1]}; replace one"
            )
        if (unknown := mask[(mask > self.source.K) & (mask != IGNORE)]).size:
            raise UserError(f"{where} holds label {unknown[0]}; use 0 to {self.source.K}, and 255 for void")
        return mask


class EvalView(Dataset[EvalSample]):
    """Whole images, resized to a square as for the evaluation during training, or at their own size."""

    def __init__(self, source: ImageSet, size: int | None = None) -> None:
        """Wrap a data set.

        Args:
            source: Images, tags and, where there are any, masks.
            size: Side of the square that images are resized to; None keeps their size.
        """
        self.source = source
        self.size = size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.source)

    def __getitem__(self, index: int) -> EvalSample:
        """Return image `index` with its mask and tags."""
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
    """Photos at their own size, as numpy arrays."""

    def __init__(self, source: ImageSet, tags: bool = False) -> None:
        """Wrap a data set.

        Args:
            source: Photos and, where there are any, masks.
            tags: Whether to read tags; if not, the set need not have any.
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
    """Normalise an RGB image (H, W, 3) by ImageNet's mean and standard deviation, float32 (3, H, W)."""
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()
    return torch.addcmul(_SHIFT, planes, _GAIN, out=planes)
