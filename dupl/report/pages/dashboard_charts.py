"""The charts of a dashboard: for each run a line, a bar or a point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dupl.report.figures.colours import page_colour
from dupl.report.figures.over_activation import rate_bars
from dupl.report.figures.plotly_theme import blank_chart, label_of
from dupl.report.figures.training_curves import line_chart
from dupl.report.pages.run_files import RunFiles
from dupl.report.tables.evaluation import title_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAPS = (("seg/1", "iou"), ("cam/1", "oa_rate"))  # what is shown per class, and its measure
MEASURES = {"iou": "IoU per class", "oa_rate": "OA rate per class"}
DASHES = {
    "solid": "",
    "dash": "9 9",
    "dot": "3 3",
    "dashdot": "9 3 3 3",
    "longdash": "15 5",
}  # of plotly, and as SVG has them
LEGEND = 6  # runs up to which each chart has its own legend; beyond, the page has one for all


@dataclass(frozen=True)
class ShownRun:
    """A run and how its lines are drawn."""

    run: RunFiles
    colour: str
    dash: str


Runs = Mapping[str, ShownRun]


def board_charts(board: Mapping[str, Any], runs: Runs) -> tuple[list[tuple[str, Figure]], list[tuple[str, Figure]]]:
    """Return the charts of a board with their titles, without empty ones: those of equal height, and those per class.

    Args:
        board: As `dupl.report.pages.dashboard.write` takes it.
        runs: By name.
    """
    charts = [(c["title"], _lines(c, runs)) for c in board.get("charts", ())]
    charts += [(c["title"], _bars(c, runs)) for c in board.get("bars", ())]
    if board.get("versus"):
        x, y = board["versus"]
        charts.append((f"{metric_title(y)} against {metric_title(x)}", _points(x, y, runs)))
    shown = MAPS if board.get("table") else ()
    tall = [(f"{title_of(name)}, {MEASURES[measure]}", _classes(name, measure, runs)) for name, measure in shown]
    equal, per_class = ([(title, made) for title, made in group if made is not None] for group in (charts, tall))
    return equal, per_class


def metric_title(key: str) -> str:
    """Return a metric in words: "seg/best/mIoU" is "Seg mIoU, best"."""
    kind, who, metric = key.split("/")
    return f"{'CAM' if kind == 'cam' else kind.capitalize()} {metric}, {who}"


def best_value(run: RunFiles, key: str) -> float | None:
    """Return the highest value that a scalar had over training; None where it had none."""
    values = [row[key] for row in run.rows if row.get(key) is not None]
    return max(values) if values else None


def _lines(chart: Mapping[str, Any], runs: Runs) -> Figure | None:
    """Return a line for each run and key; None where there is no value."""
    rows: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    styles: dict[str, tuple[str, str]] = {}
    for number, (name, shown) in enumerate(runs.items()):
        for key in chart["keys"]:
            short = f"{name}, {key.rsplit('/', 1)[-1]}" if len(chart["keys"]) > 1 else name
            names[short] = f"run{number}:{key}"
            colour = shown.colour if len(chart["keys"]) == 1 else page_colour("", len(styles))
            styles[label_of(short)] = colour, shown.dash
            rows += [
                {"iter": row["iter"], names[short]: row[key]} for row in shown.run.rows if row.get(key) is not None
            ]
    if not rows:
        return None
    figure = line_chart(rows, names, chart.get("unit", ""), smooth=chart["title"].startswith("L"))
    for trace in figure.data:
        trace.line.color, trace.line.dash = styles[trace.name]
    return _without_legend(figure, len(runs)) if len(chart["keys"]) == 1 else figure


def _without_legend(figure: Figure, runs: int) -> Figure:
    """Return a chart, without its legend where the page has one for all."""
    return figure.update_layout(showlegend=False, margin={"b": 30}) if runs > LEGEND else figure


def _bars(chart: Mapping[str, Any], runs: Runs) -> Figure | None:
    """Return a bar for each run: the best value of a key that begins with "best/"."""
    values = {name: best_value(shown.run, chart["keys"][0].removeprefix("best/")) for name, shown in runs.items()}
    known = {label_of(name): value for name, value in values.items() if value is not None}
    colours = [runs[name].colour for name, value in values.items() if value is not None]
    if not known:
        return None
    figure = blank_chart(90 + 26 * len(known), "", hovermode="y")
    figure.add_bar(y=list(known), x=list(known.values()), orientation="h", marker={"color": colours}, name="")
    figure.update_xaxes(title={"text": chart.get("unit", "")}, hoverformat=".2f")
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


def _points(x: str, y: str, runs: Runs) -> Figure | None:
    """Return a point for each run: the last values of two keys."""
    figure, found = blank_chart(320, metric_title(y) + " (%)", hovermode="closest"), 0
    for name, shown in runs.items():
        rows = [row for row in shown.run.rows if row.get(x) is not None and row.get(y) is not None]
        if rows:
            found += 1
            marker = {"size": 10, "color": shown.colour}
            figure.add_scatter(x=[rows[-1][x]], y=[rows[-1][y]], mode="markers", name=label_of(name), marker=marker)
    figure.update_xaxes(title={"text": metric_title(x) + " (%)"}, hoverformat=".2f")
    return _without_legend(figure, len(runs)) if found else None


def _classes(label_map: str, measure: str, runs: Runs) -> Figure | None:
    """Return bars per class, one for each run, of its last evaluation in training; None where no run has one."""
    found: dict[str, dict[str, float]] = {}
    for name, shown in runs.items():
        for row in shown.run.trained[-1].rows if shown.run.trained else []:
            value = getattr(row, measure)
            if row.label_map == label_map and not math.isnan(value):
                found.setdefault(name, {})[row.class_name] = value
    classes = list(dict.fromkeys(c for values in found.values() for c in values))
    if not classes:
        return None
    rates = {name: [values.get(c, math.nan) for c in classes] for name, values in found.items()}
    figure = rate_bars(rates, classes, "%")
    colours = {label_of(name): shown.colour for name, shown in runs.items()}
    for trace in figure.data:
        trace.marker.color = colours[trace.name]
    return _without_legend(figure, len(runs))
