"""Counting pseudo-labels against the truth, and what follows from the counts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dupl.runs.metrics import ClassTable, mean, percent
from dupl.runs.tallies import Counts, confusion
from dupl.structures import IGNORE


@dataclass
class LabelCounts:
    """Counts of one student's pseudo-labels against the truth, over pixels whose truth is not void.

    Attributes:
        classes: With background.
        matrix: Confusion (truth, label) of the labels that teach: decided, and not filtered as noise.
        truth: Pixels by class, labelled or not, (classes,).
        filtered: Pixels that the noise filter took out: all, and those whose label was wrong, (2,).
    """

    classes: int
    matrix: Counts = field(init=False)
    truth: Counts = field(init=False)
    filtered: Counts = field(init=False)

    def __post_init__(self) -> None:
        self.matrix = np.zeros((self.classes, self.classes), np.int64)
        self.truth, self.filtered = np.zeros(self.classes, np.int64), np.zeros(2, np.int64)

    def add(self, truth: NDArray[np.uint8], label: NDArray[np.uint8], noisy: NDArray[np.bool_]) -> None:
        """Count one image: truth, pseudo-label (255: undecided) and what the filter took out, all (H, W)."""
        valid = truth != IGNORE
        self.truth += np.bincount(truth[valid], minlength=self.classes)
        out = valid & noisy
        self.filtered += [out.sum(), (out & (label != truth)).sum()]
        taught = valid & ~noisy & (label != IGNORE)
        self.matrix += confusion(truth[taught], label[taught], self.classes)

    def metrics(self) -> dict[str, float]:
        """In percent; precision, recall and OA are means over foreground classes. NaN where there is nothing."""
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
        """Class, precision, recall and OA in percent, of every class."""
        table = ClassTable.of(self.matrix)
        columns = (table.precision, self.recall(), table.oa_rate)
        return [(c, *(float(column[c]) for column in columns)) for c in range(self.classes)]  # type: ignore[misc]


@dataclass
class Quality:
    """Counts of all students.

    Attributes:
        students: By student; empty where no pseudo-labels are made yet.
        shared: Pixels labelled by the first two students: all, and those labelled differently, (2,).
    """

    students: list[LabelCounts]
    shared: Counts

    def merge(self, other: Quality) -> None:
        """Add another process's counts."""
        for mine, theirs in zip(self.students, other.students, strict=False):
            mine.matrix += theirs.matrix
            mine.truth += theirs.truth
            mine.filtered += theirs.filtered
        self.students += other.students[len(self.students) :]
        self.shared = self.shared + other.shared

    def metrics(self) -> dict[str, float]:
        """By name: ``quality/1/coverage``, ..., ``quality/disagreement``; nothing before there are pseudo-labels."""
        named = {f"quality/{s}/{k}": v for s, one in enumerate(self.students, 1) for k, v in one.metrics().items()}
        if len(self.students) > 1:
            named["quality/disagreement"] = float(percent(self.shared[1], self.shared[0]))
        return named
