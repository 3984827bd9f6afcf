"""Writing the tables and pictures of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dupl.engine.evaluation.result import EvaluationResult
from dupl.engine.evaluation.thresholds import Curves
from dupl.report.figures.confusion import confusion_picture
from dupl.report.figures.over_activation import overactivation_bars
from dupl.report.figures.thresholds import threshold_picture
from dupl.report.tables.evaluation import title_of
from dupl.runs import layout
from dupl.runs.files import write_csv
from dupl.runs.tallies import THRESHOLDS


def write(
    folder: Path, evaluation: EvaluationResult, heading: str, facts: dict[str, Any], curves: Curves | None
) -> None:
    """Write the tables and pictures of an evaluation, for CAMs also the curve over thresholds.

    Args:
        folder: Folder of the evaluation.
        evaluation: The result.
        heading: Title of the pictures: run, data and checkpoint.
        facts: Values to write beside the metrics.
        curves: The curves of the CAM protocol.
    """
    protocol = facts["protocol"]
    evaluation.save(folder, facts if curves is None else {**facts, "best_threshold": curves.best()})
    _draw_confusion(folder, evaluation, heading, protocol)
    _draw_over_activation(folder, evaluation, heading, protocol)
    if curves is not None:
        _write_thresholds(folder, curves, heading, protocol, facts["cam_threshold"])


def _draw_confusion(folder: Path, evaluation: EvaluationResult, heading: str, protocol: str) -> None:
    """Draw the confusion matrix of each label map."""
    for name, tally in evaluation.listed.items():
        path = folder / layout.confusion_picture(name)
        confusion_picture(tally.matrix, evaluation.classes, path, f"{title_of(name)}: {heading}", protocol)


def _draw_over_activation(folder: Path, evaluation: EvaluationResult, heading: str, protocol: str) -> None:
    """Draw the over-activation rate of each class, for CAMs and segmentation."""
    rates: dict[str, dict[str, list[float]]] = {}
    for row in evaluation.class_rows():
        if row.class_name != evaluation.classes[0]:
            bars_of = rates.setdefault(row.label_map.split("/")[0], {})
            bars_of.setdefault(title_of(row.label_map), []).append(row.oa_rate)
    for kind, bars in rates.items():
        if any(rate == rate for values in bars.values() for rate in values):
            path = folder / layout.over_activation_picture(kind)
            overactivation_bars(bars, evaluation.classes[1:], path, f"Over-activation per class: {heading}", protocol)


def _write_thresholds(folder: Path, curves: Curves, heading: str, protocol: str, threshold: float) -> None:
    """Write and draw the metric over thresholds."""
    lines = curves.lines()
    rows = [(name, *pair) for name, line in lines.items() for pair in zip(THRESHOLDS, line, strict=True)]
    write_csv(folder / layout.THRESHOLDS, ["map", "threshold", curves.metric], rows)
    named = {title_of(name): line for name, line in lines.items()}
    path, what = folder / layout.THRESHOLDS_PICTURE, f"CAM over thresholds: {heading}"
    threshold_picture(THRESHOLDS, named, path, what, protocol, f"{curves.metric} (%)", threshold)
