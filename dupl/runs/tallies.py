"""Counting pixels: confusion matrices, per image and class, and over thresholds on CAMs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dupl.structures import IGNORE

Counts = NDArray[np.int64]


def confusion(truth: NDArray[Any], prediction: NDArray[Any], classes: int) -> Counts:
    """Return the confusion matrix (truth, prediction), (classes, classes), over pixels whose truth is not 255.

    Raises:
        ValueError: A label that is neither a class nor 255.
    """
    valid = truth != IGNORE
    labels = truth[valid].astype(np.int64)
    if labels.size and labels.max() >= classes:
        raise ValueError(f"label {labels.max()} in a mask of {classes} classes")
    pairs = labels * classes + prediction[valid].astype(np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def counts_of(matrix: Counts) -> tuple[Counts, Counts, Counts]:
    """Return TP, FP and FN by class of a confusion matrix (truth, prediction)."""
    tp = np.diag(matrix)
    return tp, matrix.sum(0) - tp, matrix.sum(1) - tp


@dataclass
class Tally:
    """Counts of one kind of label map ("cam/1", "seg/mean", ...) over a data set.

    Attributes:
        classes: With background.
        matrix: Confusion (truth, prediction) so far.
        per_image: Rows of image position, class, TP, FP, FN; classes without any are left out.
    """

    classes: int
    matrix: Counts = field(init=False)
    per_image: list[Counts] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.matrix = np.zeros((self.classes, self.classes), np.int64)

    def add(self, image: int, truth: NDArray[Any], prediction: NDArray[Any]) -> None:
        """Count one image's truth and prediction, both (H, W)."""
        matrix = confusion(truth, prediction, self.classes)
        self.matrix += matrix
        tp, fp, fn = counts_of(matrix)
        seen = np.flatnonzero(tp + fp + fn)
        rows = np.stack([np.full(len(seen), image), seen, tp[seen], fp[seen], fn[seen]], 1)
        self.per_image.append(rows.astype(np.int64))

    def merge(self, other: Tally) -> None:
        """Add another process's counts."""
        self.matrix += other.matrix
        self.per_image += other.per_image


THRESHOLDS = tuple(k / 20 for k in range(1, 20))  # 0.05 ... 0.95


@dataclass
class ThresholdTally:
    """Counts of a CAM from which the confusion matrix at each threshold follows; one pass serves all.

    Attributes:
        classes: With background.
        thresholds: Ascending.
        counts: By truth, strongest class and number of thresholds below the CAM's value there.
    """

    classes: int
    thresholds: tuple[float, ...] = THRESHOLDS
    counts: Counts = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.classes, self.classes, len(self.thresholds) + 1), np.int64)

    def add(self, truth: NDArray[Any], winner: NDArray[Any], value: NDArray[np.float32]) -> None:
        """Count one image: its truth, the label id of its strongest CAM, and that CAM's value, all (H, W)."""
        valid = truth < self.classes  # of other labels than void, `confusion` tells
        level = np.searchsorted(np.array(self.thresholds, np.float32), value[valid])  # float32, as the CAM
        place = (truth[valid].astype(np.int64), winner[valid], level)
        self.counts += np.bincount(np.ravel_multi_index(place, self.counts.shape), minlength=self.counts.size).reshape(
            self.counts.shape
        )

    def matrices(self) -> list[Counts]:
        """Return the confusion (truth, prediction) at each threshold; where no CAM exceeds it is background."""
        found = []
        for k in range(len(self.thresholds)):
            matrix = self.counts[:, :, k + 1 :].sum(2)
            matrix[:, 0] += self.counts[:, :, : k + 1].sum((1, 2))
            found.append(matrix)
        return found
