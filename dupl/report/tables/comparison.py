"""Differences between rows of one column, from counts where there are any, and what keeps them from being told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dupl.report.tables.counts import Counts, Metric
from dupl.report.tables.intervals import DEFAULT, LABELS
from dupl.report.tables.statistics import Draws, Estimate, contrast, contrast_over_seeds
from dupl.runs.pixel_counts import ChooseMaps, PixelCounts

if TYPE_CHECKING:
    from dupl.report.tables.column import Evidence

Loader = Callable[[str, str, str, ChooseMaps, str], PixelCounts | None]
CLOSE = 1e-6  # points between a metric and the same of its counts


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        change: Weighted sum of the rows' means over the seeds they share; None where they share none.
        estimate: The same with an interval; None where there is none.
        note: What is missing, or restricted; "" where nothing is.
    """

    change: float | None = None
    estimate: Estimate | None = None
    note: str = ""


class Estimates:
    """Compares rows of one column; what it read of a run it keeps."""

    def __init__(
        self,
        metric: str,
        evidence: Evidence,
        load: Loader,
        subsets: Mapping[str, Sequence[str]],
        interval: str = DEFAULT,
    ) -> None:
        """Takes what `dupl.report.tables.table.table` is given; nothing is read before it is needed."""
        self.metric, self.evidence, self.load = Metric.parse(metric, subsets), evidence, load
        self.interval = interval
        self.known: dict[str, Draws | str] = {}

    def compare(self, rows: Sequence[str], weights: Sequence[float], labels: Mapping[str, str]) -> Comparison:
        """The weighted sum of rows.

        Args:
            rows: Keys.
            weights: One for each.
            labels: By key, for notes.
        """
        values = [self.evidence.values(row) for row in rows]
        if empty := [labels[row] for row, found in zip(rows, values, strict=True) if not found]:
            return Comparison(note=f"no change without a value of {', '.join(empty)}")
        seeds = sorted(set.intersection(*map(set, values)))
        if not seeds:
            return Comparison(note=f"no change: {', '.join(labels[row] for row in rows)} have no seed in common")
        prints = [{seed: self.evidence.fingerprint(row, seed) for seed in seeds} for row in rows]
        pairs = list(zip(values, weights, strict=True))
        change = sum(weight * sum(found[seed] for seed in seeds) / len(seeds) for found, weight in pairs)
        if len(rows) == 2 and prints[0] == prints[1]:
            return Comparison(change, note=f"{labels[rows[0]]} and {labels[rows[1]]} are the same runs")
        note = ""
        if any(set(found) != set(seeds) for found in values):
            who = "both" if len(rows) == 2 else "all"
            note = f"change over seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}, which {who} rows have"
            note += "; its interval is over images alone" * (len(seeds) == 1)
        draws = [{seed: self.draws(name) for seed, name in row.items()} for row in prints]
        if why := next((found for row in draws for found in row.values() if isinstance(found, str)), ""):
            estimate = contrast_over_seeds(
                [{s: found[s] for s in seeds} for found in values], weights, interval=self.interval
            )
            why = "; ".join([why, *[self._unable()] * (estimate is None and self.interval != DEFAULT)])
            lost = f"interval over seeds only: {why}" if estimate else f"no interval: {why}"
            return Comparison(change, estimate, "; ".join(filter(None, [note, lost])))
        whole = [{s: found for s, found in row.items() if isinstance(found, Draws)} for row in draws]
        if len({found.images for row in whole for found in row.values()}) > 1:
            return Comparison(change, note="no interval: evaluated on different images")
        estimate = contrast(whole, weights, interval=self.interval)
        lost = "no interval: the metric is not defined for enough resamples of the images"
        if estimate is None and self.interval != DEFAULT and contrast(whole, weights) is not None:
            lost = f"no interval: {self._unable()}"
        return Comparison(change, estimate, "; ".join(filter(None, [note, "" if estimate else lost])))

    def _unable(self) -> str:
        what = "pixels per image of two seeds" if self.interval == "mixed-model" else "seeds or images that differ"
        return f"{LABELS[self.interval]} needs {what}"

    def draws(self, fingerprint: str) -> Draws | str:
        """Of a run's evaluation, or why there are none."""
        if fingerprint not in self.known:
            self.known[fingerprint] = self._draws(fingerprint)
        return self.known[fingerprint]

    def _draws(self, fingerprint: str) -> Draws | str:
        column, evidence = self.evidence.column, self.evidence
        if self.metric is None:
            return f"{column.metric} does not follow from pixels per image"
        pixels = self.load(fingerprint, column.protocol, evidence.split, self.metric.maps, column.report)
        maps = [] if pixels is None else self.metric.maps(pixels.maps)
        if pixels is None or not maps:
            return f"run {fingerprint} has no pixels per image"
        found = Draws.of(Counts.of(pixels, maps), self.metric)
        told = evidence.told[fingerprint]
        if not abs(found.value - told) < CLOSE:
            return f"the pixels per image of run {fingerprint} give {found.value:.4f}, its metrics {told:.4f}"
        return found
