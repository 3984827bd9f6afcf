"""What is fitted before the first iteration, to training images without augmentation: classifiers, and a detector."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor

from dupl.data.base import ImageSet
from dupl.data.spread import spread
from dupl.data.views import normalize
from dupl.execute.heartbeat import beat
from dupl.method.base import Method
from dupl.method.detector import ProbeDetector
from dupl.method.warm_start import ClassifierWarmStart

TOGETHER = 16  # images of one forward pass


def fitted(model: Method) -> dict[str, ClassifierWarmStart | ProbeDetector]:
    """Return the parts of a model that are fitted before training, by their place in the recipe."""
    parts = {f"model.{slot.name}": getattr(model, slot.name) for slot in model.SLOTS}
    return {place: part for place, part in parts.items() if isinstance(part, ClassifierWarmStart | ProbeDetector)}


def warm_start(config: Config, model: Method, source: ImageSet) -> float | None:
    """Fit what a new training fits before it begins, if its recipe says so; every process computes the same.

    Args:
        config: A resolved recipe.
        model: The model on its device; its classifiers and its detector change in place.
        source: The training set, of which photos and tags are read.

    Returns:
        The seconds that it took; None where nothing is fitted.
    """
    parts = fitted(model).values()
    begun = time.monotonic()
    device = next(model.parameters()).device
    for part in parts:
        chosen = spread(min(part.images, len(source)), len(source))
        with model.autocast("cam"):
            features = part.read(model.students, _batches(source, chosen, config.data.augment.crop, device))
        part.fit(model.students, features, config.runtime.seed)
    return time.monotonic() - begun if parts else None


def _batches(
    source: ImageSet, chosen: Sequence[int], size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield normalised images, squashed to a square of the size of the training crops, with their tags."""
    for first in range(0, len(chosen), TOGETHER):
        beat()
        part = chosen[first : first + TOGETHER]
        images = [_squashed(normalize(source.image(i)), size) for i in part]
        tags = [torch.from_numpy(source.tags(i)) for i in part]
        yield torch.stack(images).to(device), torch.stack(tags).to(device)


def _squashed(image: Tensor, size: int) -> Tensor:
    return F.interpolate(image[None], (size, size), mode="bilinear", align_corners=False)[0]
