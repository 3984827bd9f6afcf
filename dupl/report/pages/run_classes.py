"""Values per class on a run's page: a sortable table, over-activation as bars, the confusion matrix."""

from __future__ import annotations

import math
from typing import Any

from dupl.report.figures.plots import confusion_chart, rate_bars
from dupl.report.pages.run_files import Evaluated, RunFiles
from dupl.report.tables.evaluation import KINDS, title_of

MEASURES = {"IoU": 2, "OA": 5, "precision": 3, "recall": 4}  # columns of per_class.csv
PIXELS = 6
WORDS = {"IoU": "IoU", "OA": "OA rate, FP / (TP + FP)", "precision": "precision", "recall": "recall"}


def classes(run: RunFiles, data: dict[str, Any]) -> dict[str, Any]:
    """Return the titles of the evaluations to choose from and of the measures; their values go to ``data``.

    Shown are the last evaluation in training and every evaluation by ``dupl eval``.
    """
    shown = run.trained[-1:] + [one for one in run.evaluations if one.iteration is None]
    if shown:
        data["classes"] = [_one(number, evaluated, data["plots"]) for number, evaluated in enumerate(shown)]
    return {"evaluations": [one.title for one in shown], "measures": WORDS}


def _one(number: int, one: Evaluated, plots: dict[str, Any]) -> dict[str, Any]:
    """Return an evaluation as the page's script reads it; its charts go to ``plots``."""
    maps = list(dict.fromkeys(row[0] for row in one.rows))
    names = list(dict.fromkeys(str(row[1]) for row in one.rows))
    cells = {(row[0], str(row[1])): row for row in one.rows}
    empty = (math.nan,) * (PIXELS + 1)

    def column(name: str, place: int) -> list[float]:
        return [float(cells.get((name, c), empty)[place]) for c in names]

    bars, confusion = [], {}
    for kind, label in KINDS.items():
        rates = {title_of(m).split(", ", 1)[1]: column(m, 5)[1:] for m in maps if m.startswith(f"{kind}/")}
        if any(not math.isnan(rate) for values in rates.values() for rate in values):
            plots[f"bars-{number}-{kind}"] = rate_bars(rates, names[1:], "OA rate (%)").to_plotly_json()
            bars.append({"plot": f"bars-{number}-{kind}", "title": {"seg": "Segmentation"}.get(kind, label)})
    for name, matrix in one.confusion.items():
        plots[f"confusion-{number}-{name}"] = confusion_chart(matrix, names).to_plotly_json()
        confusion[name] = f"confusion-{number}-{name}"
    never = [c for c in names[1:] if all(math.isnan(float(cells.get((m, c), empty)[5])) for m in maps)]
    return {
        "maps": [{"key": name, "label": title_of(name)} for name in maps],
        "names": names,
        "pixels": [0 if math.isnan(v) else int(v) for v in column(maps[0], PIXELS)] if maps else [],
        "values": {key: [[_number(v) for v in column(m, at)] for m in maps] for key, at in MEASURES.items()},
        "never": never,
        "bars": bars,
        "confusion": confusion,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
