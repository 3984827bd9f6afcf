"""Figures per class on a run's page: a table that sorts, over-activation as bars, the confusion matrix."""

from __future__ import annotations

import math
from typing import Any

from dupl.report.figures.plots import confusion_chart, rate_bars
from dupl.report.pages.frame import Section, note, text
from dupl.report.pages.run_files import Evaluated, RunFiles
from dupl.report.tables.evaluation import KINDS, title_of

MEASURES = {"IoU": 2, "OA": 5, "precision": 3, "recall": 4}  # columns of per_class.csv
PIXELS = 6
WORDS = {"IoU": "IoU", "OA": "OA rate, FP / (TP + FP)", "precision": "precision", "recall": "recall"}


def section(run: RunFiles, data: dict[str, Any]) -> Section:
    """The section per class, whose data goes to ``data``: of the last evaluation in training, and of all others."""
    shown = run.trained[-1:] + [one for one in run.evaluations if one.iteration is None]
    if not shown:
        words = "Nothing per class: the run was never evaluated. Evaluation needs masks of data.val."
        return Section("classes", "Classes", note(words))
    data["classes"] = [_one(number, evaluated, data["plots"]) for number, evaluated in enumerate(shown)]
    choices = "".join(f'<option value="{n}">{text(one.title)}</option>' for n, one in enumerate(shown))
    measures = "".join(f'<option value="{key}">{text(WORDS[key])}</option>' for key in MEASURES)
    body = (
        f'<div class="controls"><label>evaluation <select id="evaluation">{choices}</select></label>'
        f'<label>measure <select id="measure">{measures}</select></label></div>'
        '<p class="about">In percent; a head sorts. A dash: the class is not in the masks, or was never predicted.</p>'
        '<div class="scroll"><table id="classes-table"></table></div>'
        "<h3>Over-activation</h3>"
        '<p class="about">Share of a class’s predicted pixels that are wrong. <span id="never"></span></p>'
        '<div class="grid" id="bars"></div>'
        "<h3>Confusion</h3>"
        '<div class="controls"><label>label map <select id="map"></select></label></div>'
        '<p class="about">Of each true class, the percent of its pixels that went to each predicted one.</p>'
        '<div class="card"><p id="confusion-missing" hidden>No confusion.csv beside this evaluation.</p>'
        '<div id="confusion"></div></div>'
    )
    return Section("classes", "Classes", body)


def _one(number: int, one: Evaluated, plots: dict[str, Any]) -> dict[str, Any]:
    """Return an evaluation as the page's script wants it, its charts in ``plots``."""
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
