"""Values per class on a run's page: a sortable table, over-activation as bars, the confusion matrix."""

from __future__ import annotations

import math
from typing import Any

from dupl.report.figures.confusion import confusion_chart
from dupl.report.figures.over_activation import rate_bars
from dupl.report.pages.run_files import RunFiles, ShownEvaluation
from dupl.report.tables.evaluation import KINDS, title_of
from dupl.runs.evaluation_files import ClassRow

MEASURES = {"IoU": "iou", "OA": "oa_rate", "precision": "precision", "recall": "recall"}
WORDS = {"IoU": "IoU", "OA": "OA rate, FP / (TP + FP)", "precision": "precision", "recall": "recall"}


def classes(run: RunFiles, data: dict[str, Any]) -> dict[str, Any]:
    """Return the titles of the evaluations to choose from and of the measures; their values go to ``data``.

    Shown are the last evaluation in training and every evaluation by ``dupl eval``.
    """
    shown = run.trained[-1:] + [one for one in run.evaluations if one.iteration is None]
    if shown:
        data["classes"] = [_one(number, evaluated, data["plots"]) for number, evaluated in enumerate(shown)]
    return {"evaluations": [one.title for one in shown], "measures": WORDS}


def _one(number: int, one: ShownEvaluation, plots: dict[str, Any]) -> dict[str, Any]:
    """Return an evaluation as the page's script reads it; its charts go to ``plots``."""
    maps = list(dict.fromkeys(row.label_map for row in one.rows))
    names = list(dict.fromkeys(row.class_name for row in one.rows))
    rows = {(row.label_map, row.class_name): row for row in one.rows}

    def column(name: str, measure: str) -> list[float]:
        return [getattr(rows.get((name, c), ClassRow(name, c)), measure) for c in names]

    bars, confusion = [], {}
    for kind, label in KINDS.items():
        rates = {title_of(m).split(", ", 1)[1]: column(m, "oa_rate")[1:] for m in maps if m.startswith(f"{kind}/")}
        if any(not math.isnan(rate) for values in rates.values() for rate in values):
            plots[f"bars-{number}-{kind}"] = rate_bars(rates, names[1:], "OA rate (%)").to_plotly_json()
            bars.append({"plot": f"bars-{number}-{kind}", "title": {"seg": "Segmentation"}.get(kind, label)})
    for name, matrix in one.confusion.items():
        plots[f"confusion-{number}-{name}"] = confusion_chart(matrix, names).to_plotly_json()
        confusion[name] = f"confusion-{number}-{name}"
    by_map = [column(m, "oa_rate") for m in maps]
    never = [c for n, c in enumerate(names[1:], 1) if all(math.isnan(rates[n]) for rates in by_map)]
    return {
        "maps": [{"key": name, "label": title_of(name)} for name in maps],
        "names": names,
        "pixels": [0 if math.isnan(v) else int(v) for v in column(maps[0], "pixels")] if maps else [],
        "values": {key: [[_number(v) for v in column(m, measure)] for m in maps] for key, measure in MEASURES.items()},
        "never": never,
        "bars": bars,
        "confusion": confusion,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
