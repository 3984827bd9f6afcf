"""The interface of evaluation protocols, which make label maps of images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dupl.data.base import ImageSet
from dupl.method.base import Method

Labels = NDArray[np.uint8]


@dataclass
class LabelledImage:
    """The label maps that a protocol makes of one image.

    Attributes:
        index: Position of the image in the data set.
        mask: The true mask, uint8 (H, W); None where there is none.
        labels: Label maps (H, W) by the name of the protocol, or of one of its parts, and of the map ("seg/1").
        tags: The true tags, (K,) of 0/1; None where the protocol does not classify.
        scores: Class scores of every student, (students, K); None where the protocol does not classify.
    """

    index: int
    mask: Labels | None
    labels: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    tags: Tensor | None = None
    scores: Tensor | None = None


@dataclass(frozen=True)
class ProtocolPart:
    """One evaluation that a protocol makes.

    Attributes:
        title: Title for tables and pictures.
        facts: The settings that define it.
    """

    title: str
    facts: dict[str, Any]


class Protocol(ABC):
    """A way to make label maps of images.

    Attributes:
        name: Name for files, which differs between protocols and between the settings of one.
        parts: The evaluations made in one pass, by their names; the protocol's own is the last.
        smaller: The setting that takes less memory, and its present value.
        needs_masks: Whether it has nothing to say of images without masks.
    """

    name: str
    parts: dict[str, ProtocolPart]
    smaller: str = ""
    needs_masks: bool = True

    @abstractmethod
    def stream(self, model: Method, source: ImageSet, indices: Sequence[int], workers: int) -> Iterator[LabelledImage]:
        """Label images one by one, in any order, with bounded memory.

        Args:
            model: The model in evaluation mode.
            source: The data set.
            indices: Positions of the images.
            workers: Number of the loader's workers.
        """


def resize(size: Sequence[int], maps: Tensor) -> Tensor:
    """Resize maps (B, C, h, w) bilinearly to another height and width."""
    if tuple(size) == tuple(maps.shape[-2:]):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
