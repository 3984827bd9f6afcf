"""Counting pixels per image and class, and what follows from the counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dupl.structures import IGNORE

Counts = NDArray[np.int64]


def confusion(truth: NDArray[Any], prediction: NDArray[Any], classes: int) -> Counts:
    """Confusion matrix (truth, prediction), (classes, classes), over pixels whose truth is not 255.

    Raises:
        ValueError: A label that is neither a class nor 255.
    """
    valid = truth != IGNORE
    labels = truth[valid].astype(np.int64)
    if labels.size and labels.max() >= classes:
        raise ValueError(f"label {labels.max()} in a mask of {classes} classes")
    pairs = labels * classes + prediction[valid].astype(np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class ClassTable:
    """Per-class figures in percent, (classes,); NaN where there is nothing to divide by.

    Attributes:
        iou: TP / (TP + FP + FN); NaN for a class that the truth does not contain.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        oa_rate: Over-activation rate FP / (TP + FP) (Sec. 4.3); NaN where never predicted.
        pixels: Pixels of truth.
    """

    iou: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    oa_rate: NDArray[np.float64]
    pixels: Counts

    @classmethod
    def of(cls, matrix: Counts) -> ClassTable:
        """From a confusion matrix (truth, prediction)."""
        tp = np.diag(matrix).astype(float)
        truth, predicted = matrix.sum(1), matrix.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            iou = np.where(truth > 0, 100 * tp / (truth + predicted - tp), np.nan)
            precision, recall = 100 * tp / predicted, 100 * tp / truth
        return cls(iou, precision, recall, 100 - precision, truth)


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
        tp = np.diag(matrix)
        fp, fn = matrix.sum(0) - tp, matrix.sum(1) - tp
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
        """Confusion (truth, prediction) at each threshold: a pixel whose CAM does not exceed it is background."""
        found = []
        for k in range(len(self.thresholds)):
            matrix = self.counts[:, :, k + 1 :].sum(2)
            matrix[:, 0] += self.counts[:, :, : k + 1].sum((1, 2))
            found.append(matrix)
        return found


def mean_iou(matrix: Counts, subset: Sequence[int] | None = None) -> float:
    """mIoU in percent over the classes that the truth contains, or those of them in ``subset``."""
    iou = ClassTable.of(matrix).iou
    chosen = iou if subset is None else iou[list(subset)]
    return float(np.nanmean(chosen)) if np.isfinite(chosen).any() else float("nan")


def mean_oa_rate(matrix: Counts) -> float:
    """Mean over-activation rate of the foreground classes in percent; NaN where none was predicted."""
    rate = ClassTable.of(matrix).oa_rate[1:]
    return float(np.nanmean(rate)) if np.isfinite(rate).any() else float("nan")


def summarise(tallies: Mapping[str, Tally], subset: tuple[str, Sequence[int]] | None = None) -> dict[str, float]:
    """Metrics by name: ``cam/1/mIoU``, ``seg/mean/mIoU``, ..., and ``best``: the better student, per metric.

    Args:
        tallies: By kind and student, "cam/1", "seg/2", "seg/mean".
        subset: Name and class ids of a further mIoU over a part of the classes.
    """
    values: dict[str, float] = {}
    for name, tally in tallies.items():
        values[f"{name}/mIoU"] = mean_iou(tally.matrix)
        if subset is not None:
            values[f"{name}/{subset[0]}"] = mean_iou(tally.matrix, subset[1])
        values[f"{name}/OA"] = mean_oa_rate(tally.matrix)
    for kind in ("cam", "seg"):
        for metric in ["mIoU"] + ([subset[0]] if subset else []):
            students = [v for k, v in values.items() if _is_student(k, kind, metric)]
            if students:
                values[f"{kind}/best/{metric}"] = max(students, key=lambda v: (v == v, v))
    return values


def _is_student(name: str, kind: str, metric: str) -> bool:
    parts = name.split("/")
    return parts[0] == kind and parts[2] == metric and parts[1].isdigit()


def tag_scores(tags: NDArray[Any], scores: NDArray[Any]) -> dict[str, float]:
    """Multi-label classification in percent.

    Args:
        tags: (N, K) of 0/1.
        scores: (N, K), positive where a class is predicted.

    Returns:
        mAP over the classes that occur; F1 per image, averaged (released code).
    """
    from sklearn.metrics import average_precision_score

    truth, predicted = tags > 0, scores > 0
    occurs, known = truth.any(0), truth.any(1) | predicted.any(1)
    hits, claims = (truth & predicted)[known].sum(1), (truth.sum(1) + predicted.sum(1))[known]
    return {
        "mAP": 100 * float(average_precision_score(truth[:, occurs], scores[:, occurs])) if occurs.any() else np.nan,
        "F1": 100 * float(np.mean(2 * hits / claims)) if known.any() else np.nan,
    }
