"""Counts of pseudo-labels against the true masks, and the metrics that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dupl.runs.metrics import ClassTable, mean, percent
from dupl.runs.tallies import Counts, confusion
from dupl.structures import IGNORE


@dataclass
class LabelCounts:
    """Counts of one student's pseudo-labels against the true masks, over pixels that are not void.

    Attributes:
        classes: Number of classes with the background.
        matrix: Confusion (truth, label) of the labels used in training: decided, and not filtered as noise.
        truth: Number of pixels of each true class, labelled or not, (classes,).
        filtered: Number of pixels that the noise filter removed: all, and those with a wrong label, (2,).
    """

    classes: int
    matrix: Counts = field(init=False)
    truth: Counts = field(init=False)
    filtered: Counts = field(init=False)

    def __post_init__(self) -> None:
        self.matrix = np.zeros((self.classes, self.classes), np.int64)
        self.truth, self.filtered = np.zeros(self.classes, np.int64), np.zeros(2, np.int64)

    def add(self, truth: NDArray[np.uint8], label: NDArray[np.uint8], noisy: NDArray[np.bool_]) -> None:
        """Count one image: true mask, pseudo-label (255: undecided) and pixels removed by the filter, all (H, W)."""
        valid = truth != IGNORE
        self.truth += np.bincount(truth[valid], minlength=self.classes)
        out = valid & noisy
        self.filtered += [out.sum(), (out & (label != truth)).sum()]
        used = valid & ~noisy & (label != IGNORE)
        self.matrix += confusion(truth[used], label[used], self.classes)

    def metrics(self) -> dict[str, float]:
        """Return the metrics in percent; precision, recall and OA are means over foreground classes, or NaN."""
        table = ClassTable.of(self.matrix)
        return {
            "coverage": float(percent(self.matrix.sum(), self.truth.sum())),
            "precision": mean(table.precision[1:]),
            "recall": mean(self.recall()[1:]),
            "OA": mean(table.oa_rate[1:]),
            "filter_precision": float(percent(self.filtered[1], self.filtered[0])),
        }

    def recall(self) -> NDArray[np.float64]:
        """Return the percent of each class's pixels, labelled or not, that got its label, (classes,)."""
        return percent(np.diag(self.matrix), self.truth)

    def rows(self) -> list[tuple[int, float, float, float]]:
        """Return class id, precision, recall and OA in percent of every class."""
        table = ClassTable.of(self.matrix)
        columns = (table.precision, self.recall(), table.oa_rate)
        return [(c, *(float(column[c]) for column in columns)) for c in range(self.classes)]  # type: ignore[misc]


@dataclass
class Quality:
    """Counts of the pseudo-labels of all students.

    Attributes:
        students: Counts by student; empty before pseudo-labels are made.
        shared: Number of pixels labelled by both of the first two students: all, and those labelled differently, (2,).
    """

    students: list[LabelCounts]
    shared: Counts

    def merge(self, other: Quality) -> None:
        """Add the counts of another process."""
        for mine, theirs in zip(self.students, other.students, strict=False):
            mine.matrix += theirs.matrix
            mine.truth += theirs.truth
            mine.filtered += theirs.filtered
        self.students += other.students[len(self.students) :]
        self.shared = self.shared + other.shared

    def metrics(self) -> dict[str, float]:
        """Return ``quality/1/coverage``, ..., ``quality/disagreement``; empty before pseudo-labels are made."""
        named = {f"quality/{s}/{k}": v for s, one in enumerate(self.students, 1) for k, v in one.metrics().items()}
        if len(self.students) > 1:
            named["quality/disagreement"] = float(percent(self.shared[1], self.shared[0]))
        return named
