"""Drawing the quality of pseudo-labels over training."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from dupl.report.figures.class_grid import class_grid
from dupl.report.figures.training_curves_file import curve
from dupl.runs import layout
from dupl.runs.files import read_csv
from dupl.runs.run import Run

YLABELS = {
    "coverage": "pixels with a label, after the noise filter (%)",
    "precision": "precision of foreground labels (%)",
    "recall": "recall of foreground labels (%)",
    "OA": "over-activation of labels, FP / (TP + FP) (%)",
    "filter_precision": "filtered pixels whose label was wrong (%)",
    "disagreement": "pixels labelled by both students, but differently (%)",
}


def quality_curves(config: Config, run: Run, marks: dict[str, int]) -> list[Path]:
    """Draw the curves of each measure of pseudo-label quality that a run has, and those of each class.

    Args:
        config: The resolved recipe.
        run: The run.
        marks: Iterations to mark, by their label.

    Returns:
        The files written.
    """
    rows = [row for row in run.scalars() if any(key.startswith("quality/") for key in row)]
    drawn = []
    for name, ylabel in YLABELS.items():
        keys = sorted({key for row in rows for key, v in row.items() if _is_measure(key, name) and v is not None})
        if not keys:
            continue
        label = {key: "students 1 and 2" if key.count("/") == 1 else f"student {key.split('/')[1]}" for key in keys}
        path = run.path / layout.quality_picture(name)
        title = f"{run.path.name}: {config.evaluation.quality} training images"
        curve(rows, {label[key]: key for key in keys}, path, title=title, ylabel=ylabel, markers=marks)
        drawn.append(path)
    lines = class_lines(run)
    if any(points for own in lines.values() for points in own.values()):
        title, path = f"{run.path.name}: pseudo-labels of each class", run.path / layout.QUALITY_CLASSES
        class_grid(lines, path, title, f"percent over iterations; {config.evaluation.quality} training images")
        drawn.append(path)
    return drawn


def class_lines(run: Run) -> dict[str, dict[tuple[str, str], list[tuple[float, float]]]]:
    """Return precision and recall of each foreground class over iterations, by student and measure."""
    found: dict[str, dict[tuple[str, str], list[tuple[float, float]]]] = {}
    for iteration, folder in layout.trained_evaluations(run.path):
        rows = read_csv(folder / layout.QUALITY) if (folder / layout.QUALITY).exists() else []
        for row in (row for row in rows if row["class"] != rows[0]["class"]):  # the first is the background
            for measure in ("precision", "recall"):
                key = (f"student {row['student']}", measure)
                points = found.setdefault(row["class"], {}).setdefault(key, [])
                if row[measure]:
                    points.append((iteration, float(row[measure])))
    return found


def _is_measure(key: str, name: str) -> bool:
    """Return whether a scalar, such as ``quality/1/coverage``, is of a measure."""
    parts = key.split("/")
    return parts[0] == "quality" and parts[-1] == name
