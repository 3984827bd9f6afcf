"""Predicting mask, scores and CAMs of one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dupl.data.views import normalize
from dupl.method.base import Method
from dupl.method.cam import Present

MOST = 1 << 28  # values of a student's maps at the size of a photo; above, an eighth of them is computed at once


@dataclass(frozen=True)
class Prediction:
    """The prediction of a model for one image of H x W pixels, with K foreground classes.

    Attributes:
        mask: Class ids, uint8 (H, W); 0 is background.
        scores: Scores of the foreground classes before the sigmoid, float32 (K,); a positive score is a predicted tag.
        cams: Class activation maps in [0, 1), float32 (H, W), by the name of a foreground class.
        classes: K + 1 names by class id, background first.
        students: The mask of each student, uint8 (H, W); empty where only one was asked for, or there is only one.
    """

    mask: NDArray[np.uint8]
    scores: NDArray[np.float32]
    cams: dict[str, NDArray[np.float32]]
    classes: tuple[str, ...]
    students: tuple[NDArray[np.uint8], ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """The predicted classes: those with a positive score."""
        return tuple(name for name, score in zip(self.classes[1:], self.scores, strict=True) if score > 0)


def infer_image(
    model: Method,
    image: NDArray[np.uint8],
    classes: Sequence[str],
    size: int,
    tags: Sequence[str] | None = None,
    student: str = "mean",
    by_tags: bool = False,
    each: bool = False,
) -> Prediction:
    """Segment one image, which is resized to a square as in the evaluation during training.

    Args:
        model: The model in evaluation mode.
        image: RGB, uint8 (H, W, 3).
        classes: Class names, background first.
        size: Side of the square.
        tags: Classes to make CAMs of; None takes those with a positive mean score.
        student: "1", "2", ..., or "mean" of the students' probabilities, scores and CAMs.
        by_tags: Whether the mask holds only background and the tags, given or predicted.
        each: Whether to add the mask of each student.
    """
    device = next(model.parameters()).device
    x = F.interpolate(normalize(image)[None].to(device), (size, size), mode="bilinear", align_corners=False)
    chosen = range(len(model.students)) if student == "mean" else [int(student) - 1]
    answer = model.predict(x, cams=False)
    scores = torch.stack([answer[s][0] for s in chosen]).mean(0)  # (1, K)
    if tags is None:
        wanted = (scores > 0).float()
    else:
        wanted = torch.tensor([[float(c in tags) for c in classes[1:]]], device=device)
    present = Present.of(wanted.cpu()).to(device)
    answer = model.predict(x, present) if wanted.any() else answer
    shape = image.shape[:2]
    absent = wanted[0] == 0 if by_tags else None
    labels = _labels([answer[s][1] for s in chosen], shape, absent)
    alone = range(len(model.students)) if each and len(model.students) > 1 else ()
    students = tuple(_labels([answer[s][1]], shape, absent) for s in alone)
    cams: dict[str, NDArray[np.float32]] = {}
    if wanted.any():
        mains = [maps.main for s in chosen if (maps := answer[s][2]) is not None]
        heat = F.interpolate(torch.stack(mains).mean(0), shape, mode="bilinear", align_corners=False)[0]
        cams = {classes[int(c) + 1]: heat[m].cpu().numpy() for m, c in enumerate(present.index[0])}
    return Prediction(labels, scores[0].cpu().numpy(), cams, tuple(classes), students)


def _labels(logits: Sequence[Tensor], shape: Sequence[int], absent: Tensor | None) -> NDArray[np.uint8]:
    """Return the class ids of the students' averaged probabilities at the size of a photo, (H, W).

    Args:
        logits: Of each student, (1, K + 1, h, w).
        shape: H, W.
        absent: Foreground classes that the mask may not hold, bool (K,); None allows all.
    """
    labels = np.empty(tuple(shape), np.uint8)
    for rows, maps in strips(logits, shape):
        mean = torch.stack([one.softmax(1) for one in maps]).mean(0)
        if absent is not None:
            mean[:, 1:][:, absent] = -1
        labels[rows] = mean.argmax(1)[0].to(torch.uint8).cpu().numpy()
    return labels


def strips(maps: Sequence[Tensor], size: Sequence[int]) -> Iterator[tuple[slice, list[Tensor]]]:
    """Resize maps (1, C, h, w) bilinearly, in strips of rows if they would have more than ``MOST`` values.

    Yields:
        The rows, and each map at these rows, (1, C, rows, W).
    """
    height, width = size
    row = maps[0].shape[1] * width
    if row * height <= MOST:
        yield slice(0, height), [F.interpolate(m, tuple(size), mode="bilinear", align_corners=False) for m in maps]
        return
    step = max(1, MOST // 8 // row)
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        found = []
        for m in maps:
            h = m.shape[-2]
            at = ((torch.arange(rows.start, rows.stop, device=m.device) + 0.5) * (h / height) - 0.5).clamp(0, h - 1)
            low = at.long()
            tall = m[:, :, low].lerp(m[:, :, (low + 1).clamp(max=h - 1)], (at - low)[:, None])
            found.append(F.interpolate(tall, (len(at), width), mode="bilinear", align_corners=False))
        yield rows, found
