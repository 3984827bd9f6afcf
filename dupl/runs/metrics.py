"""Metrics from counts of pixels: IoU, precision, recall, F1 and over-activation.

All formulas are here. They take arrays of TP, FP and FN, whether of images, of classes or of whole data sets, and
give percent, NaN where there is nothing to divide by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dupl.runs.tallies import Counts, Tally, counts_of


def percent(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """Return 100 * part / whole; NaN where the whole is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(whole) != 0, np.divide(100 * np.asarray(part, float), whole), np.nan)


def iou(tp: Counts, fp: Counts, fn: Counts) -> NDArray[np.float64]:
    """Return TP / (TP + FP + FN) in percent."""
    return percent(tp, tp + fp + fn)


def class_iou(tp: Counts, fp: Counts, fn: Counts) -> NDArray[np.float64]:
    """Return the IoU of classes in percent; NaN also for a class that the truth does not contain."""
    return np.where(tp + fn > 0, iou(tp, fp, fn), np.nan)


def precision(tp: Counts, fp: Counts) -> NDArray[np.float64]:
    """Return TP / (TP + FP) in percent."""
    return percent(tp, tp + fp)


def recall(tp: Counts, fn: Counts) -> NDArray[np.float64]:
    """Return TP / (TP + FN) in percent."""
    return percent(tp, tp + fn)


def f1(tp: Counts, fp: Counts, fn: Counts) -> NDArray[np.float64]:
    """Return 2 TP / (2 TP + FP + FN) in percent."""
    return percent(2 * tp, 2 * tp + fp + fn)


def oa_rate(tp: Counts, fp: Counts) -> NDArray[np.float64]:
    """Return the over-activation rate FP / (TP + FP) (Sec. 4.3) in percent."""
    return 100 - precision(tp, fp)


@dataclass(frozen=True)
class ClassTable:
    """Per-class figures in percent, all of one shape; NaN where there is nothing to divide by.

    Attributes:
        iou: TP / (TP + FP + FN); NaN also for a class that the truth does not contain.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        f1: 2 TP / (2 TP + FP + FN); NaN also for a class that the truth does not contain.
        oa_rate: Over-activation rate FP / (TP + FP) (Sec. 4.3); NaN where never predicted.
        pixels: Pixels of truth.
    """

    iou: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    oa_rate: NDArray[np.float64]
    pixels: Counts

    @classmethod
    def of(cls, matrix: Counts) -> ClassTable:
        """Compute the figures from a confusion matrix (truth, prediction)."""
        return cls.of_counts(*counts_of(matrix))

    @classmethod
    def of_counts(cls, tp: Counts, fp: Counts, fn: Counts) -> ClassTable:
        """Compute the figures from pixels by class, in arrays of one shape."""
        return cls(
            iou=class_iou(tp, fp, fn),
            precision=precision(tp, fp),
            recall=recall(tp, fn),
            f1=np.where(tp + fn > 0, f1(tp, fp, fn), np.nan),
            oa_rate=oa_rate(tp, fp),
            pixels=tp + fn,
        )


def mean_iou(matrix: Counts, subset: Sequence[int] | None = None) -> float:
    """Return the mIoU in percent over the classes that the truth contains, or those of them in ``subset``."""
    values = ClassTable.of(matrix).iou
    return mean(values if subset is None else values[list(subset)])


def mean_oa_rate(matrix: Counts) -> float:
    """Return the mean over-activation rate of the foreground in percent; NaN where none of it was predicted."""
    return mean(ClassTable.of(matrix).oa_rate[1:])


def mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are numbers; NaN where none is."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def summarise(tallies: Mapping[str, Tally], subset: tuple[str, Sequence[int]] | None = None) -> dict[str, float]:
    """Return metrics by name: ``cam/1/mIoU``, ``seg/mean/mIoU``, ..., and ``best``: the better student, per metric.

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
    """Score a multi-label classification in percent.

    Args:
        tags: (N, K) of 0/1.
        scores: (N, K), positive where a class is predicted.

    Returns:
        mAP over the classes that occur; F1 per image, averaged (released code).
    """
    from sklearn.metrics import average_precision_score

    truth, predicted = tags > 0, scores > 0
    occurs, known = truth.any(0), truth.any(1) | predicted.any(1)
    tp = (truth & predicted)[known].sum(1)
    fp, fn = predicted[known].sum(1) - tp, truth[known].sum(1) - tp
    return {
        "mAP": 100 * float(average_precision_score(truth[:, occurs], scores[:, occurs])) if occurs.any() else np.nan,
        "F1": mean(f1(tp, fp, fn)),
    }
