"""The quality of CAMs over the threshold."""

from __future__ import annotations

from dataclasses import dataclass

from dupl.runs.metrics import mean_iou
from dupl.runs.tallies import THRESHOLDS, ThresholdTally


@dataclass(frozen=True)
class Curves:
    """The quality of CAMs over the threshold.

    Attributes:
        tallies: Counts by label map.
        subset: Name and class ids of an mIoU over some classes, which then is the metric.
    """

    tallies: dict[str, ThresholdTally]
    subset: tuple[str, list[int]] | None

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.subset[0] if self.subset else "mIoU"

    def lines(self) -> dict[str, list[float]]:
        """Return the metric at each threshold, by map."""
        ids = self.subset[1] if self.subset else None
        return {name: [mean_iou(m, ids) for m in tally.matrices()] for name, tally in sorted(self.tallies.items())}

    def best(self) -> dict[str, dict[str, float]]:
        """Return by map the highest value and its threshold, the lowest of equal ones."""
        top = {name: max(range(len(line)), key=lambda k: line[k]) for name, line in self.lines().items()}
        return {name: {"threshold": THRESHOLDS[k], self.metric: self.lines()[name][k]} for name, k in top.items()}
