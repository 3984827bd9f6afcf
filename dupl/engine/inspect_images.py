"""Computing what a method sees on a few images: CAMs, pseudo-labels, predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dupl.data.base import ImageSet
from dupl.data.views import EvalView
from dupl.method.base import Method
from dupl.method.cam import Present, label_by_threshold
from dupl.report.figures.image_row import ImageRow
from dupl.structures import Clock


def inspect_images(
    model: Method, source: ImageSet, indices: Sequence[int], size: int, threshold: float, clock: Clock
) -> list[ImageRow]:
    """Return what the training step computes from a few images, resized to a square, at their own size.

    Args:
        model: In any mode, which is restored.
        source: The data set; its masks are shown if it has any.
        indices: Positions of the images.
        size: Side of the square that images are resized to.
        threshold: The evaluation's threshold on CAMs, outlined in the pictures.
        clock: Decides the thresholds of training and which components act.

    Returns:
        One row of pictures per image.
    """
    view, device, training = EvalView(source, size), next(model.parameters()).device, model.training
    model.eval()
    rows = []
    for i in indices:
        sample = view[i]
        tags = sample["tags"][None]
        present, box = Present.of(tags).to(device), torch.tensor([[0, size, 0, size]], device=device)
        images = sample["image"][None].to(device)
        made = model.inspect(images, tags.to(device), present, box, clock)
        photo = source.image(i)
        shape = photo.shape[:2]
        rows.append(
            ImageRow(
                name=sample["name"],
                image=photo,
                truth=None if sample["mask"] is None else sample["mask"].numpy(),
                cams=[_smooth(m.main.amax(1, keepdim=True), shape) for m in made.cams or ()],
                cam_labels=[_nearest(label_by_threshold(m.main, present, threshold), shape) for m in made.cams or ()],
                pseudo=[_nearest(y.y, shape) for y in made.labels or ()],
                noisy=[_nearest(n, shape).astype(bool) for n in made.noisy or ()],
                prediction=[_nearest(p.argmax(1), shape) for p in made.log_P],
                tags=tuple(c for c, on in zip(source.classes[1:], tags[0].tolist(), strict=True) if on),
            )
        )
    model.train(training)
    return rows


def _smooth(x: Tensor, shape: Sequence[int]) -> NDArray[np.float32]:
    """Resize a map (1, 1, h, w) in [0, 1] bilinearly."""
    big = F.interpolate(x.float(), size=tuple(shape), mode="bilinear", align_corners=False)
    return big[0, 0].clamp(0, 1).cpu().numpy()


def _nearest(labels: Tensor, shape: Sequence[int]) -> NDArray[np.uint8]:
    """Resize labels (1, h, w) to the nearest neighbour."""
    return (
        F.interpolate(labels[:, None].float(), size=tuple(shape), mode="nearest")[0, 0].cpu().numpy().astype(np.uint8)
    )
