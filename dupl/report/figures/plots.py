"""Interactive charts as plotly figures, for pages and notebooks. Colours are legible on white and on black."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dupl.report.figures.curves import series
from dupl.report.symbols import typeset

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

STUDENTS = {1: "#3b7dd8", 2: "#d4602a"}
MEAN = "#7f8792"  # of the students' average
HUES = ("#2f9e72", "#9a5fc0", "#b8860b", "#c2417c", "#1f9bb5", "#7a8f2a", "#8a5a44")
GRID, MARK, KEPT, NOISE = "rgba(128,128,128,0.22)", "#8a8f98", "#7d93ad", "#d43d51"


def safe(text: Any) -> str:
    """Return a text so that plotly, which knows a few tags of HTML, shows it as it is."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def label_of(text: Any) -> str:
    """Return a label for plotly, the paper's symbols typeset."""
    return typeset(text, safe)


def hue(label: str, number: int) -> str:
    """Return a student's colour where a label ends with its number, else one of its own."""
    last = label.rsplit(" ", 1)[-1]
    if last in ("1", "2"):
        return STUDENTS[int(last)]
    return MEAN if last == "averaged" else HUES[number % len(HUES)]


def blank(height: int, unit: str = "", **layout: Any) -> Figure:
    """Return an empty chart: no title, its legend above, thin grid lines."""
    from plotly.graph_objects import Figure

    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    return Figure(
        layout={
            "template": None,
            "height": height,
            "margin": {"l": 10, "r": 12, "t": 30, "b": 36},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"size": 12},
            "hovermode": "x unified",
            "legend": {"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0},
            "xaxis": axis,
            "yaxis": {**axis, "title": {"text": label_of(unit)}},
            **layout,
        }
    )


def line_chart(
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    unit: str,
    marks: Mapping[str, int] | None = None,
    smooth: bool = False,
    factor: float = 1,
) -> Figure:
    """Return a chart of scalars over iterations.

    Args:
        rows: As in scalars.jsonl.
        names: Key of each line by its label.
        unit: What the values are.
        marks: Iterations to mark, by what happens there.
        smooth: Whether a page may smooth the lines.
        factor: Of all values, such as 100 for shares in percent.
    """
    figure = blank(300, unit)
    last = 1.0
    drawn = [line for line in series(rows, names) if line.points]
    crowded = any(len(line.points) > 40 for line in drawn)
    for number, line in enumerate(drawn):
        x = [point[0] for point in line.points]
        last = max(last, x[-1])
        figure.add_scatter(
            x=x,
            y=[factor * value for _, value in line.points],
            name=label_of(line.label),
            mode="lines" if crowded else "lines+markers",
            line={
                "color": STUDENTS.get(line.student) or hue(line.label, number),
                "width": 2,
                "dash": ("solid", "dash", "dot")[line.family % 3] if line.student else "solid",
            },
            marker={"size": 5},
            meta={"smooth": smooth},
        )
    figure.update_xaxes(title={"text": "iteration", "standoff": 6}, range=[0, 1.02 * last], tickformat=",d")
    figure.update_yaxes(hoverformat=".4~g", exponentformat="e")
    mark(figure, marks or {}, last)
    return figure


def share_chart(
    rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], marks: Mapping[str, int] | None = None
) -> Figure:
    """Return shares in [0, 1] stacked on each other, in percent; arguments as of `line_chart`."""
    figure = line_chart(rows, names, "% of pixels", marks, factor=100)
    colours = ("#2f9e72", NOISE, "#9aa3ad")
    for number, trace in enumerate(figure.data):
        trace.update(stackgroup="one", mode="lines", line={"width": 0.5, "color": colours[number % 3]}, marker=None)
    figure.update_yaxes(range=[0, 100], hoverformat=".1f")
    return figure


def mark(figure: Figure, marks: Mapping[str, int], last: float) -> None:
    """Draw dashed lines with what starts there above them; those of one iteration share one.

    Args:
        figure: Where.
        marks: Iterations by what happens there.
        last: The last iteration of the chart.
    """
    at: dict[int, list[str]] = {}
    for name, iteration in marks.items():
        at.setdefault(iteration, []).append(name.removesuffix(" starts"))
    for iteration, names in at.items():
        figure.add_vline(iteration, line={"color": MARK, "width": 1, "dash": "dash"})
        figure.add_annotation(
            x=iteration,
            y=1,
            yref="paper",
            yanchor="bottom",
            xanchor="left" if iteration < 0.7 * last else "right",
            text=label_of(", ".join(names)),
            showarrow=False,
            font={"size": 11},
        )


def rate_bars(rates: Mapping[str, Sequence[float]], classes: Sequence[str], unit: str) -> Figure:
    """Return horizontal bars: one group per class, one bar per label map; no bar where there is no number.

    Args:
        rates: By what the legend says, such as "CAM, student 1": percent per class, NaN for none.
        classes: Names in the order of the rates.
        unit: What the values are.
    """
    shown = [c for c in range(len(classes)) if any(not math.isnan(values[c]) for values in rates.values())]
    figure = blank(90 + len(shown) * (10 + 9 * len(rates)), "", barmode="group", bargap=0.25, hovermode="y unified")
    for number, (label, values) in enumerate(rates.items()):
        figure.add_bar(
            y=[safe(classes[c]) for c in shown],
            x=[None if math.isnan(values[c]) else round(values[c], 3) for c in shown],
            name=label_of(label),
            orientation="h",
            marker={"color": hue(label, number)},
        )
    figure.update_xaxes(range=[0, 100], title={"text": safe(unit), "standoff": 6}, hoverformat=".1f", side="bottom")
    figure.update_yaxes(type="category", autorange="reversed", gridcolor="rgba(0,0,0,0)")
    figure.update_layout(legend={"y": 1, "yanchor": "bottom", "traceorder": "normal"}, margin={"t": 50})
    return figure


def confusion_chart(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Return a confusion matrix: of each true class, the percent of its pixels that went to each predicted one.

    Opacity follows the root of the share, so that confusions of a few percent show.
    """
    names, side = [safe(name) for name in classes], len(classes)
    shares: list[list[float | None]] = []
    for row in matrix:
        total = sum(row)
        shares.append([round(100 * cell / total, 3) if total else None for cell in row])
    steps = (0, 0.01, 0.04, 0.09, 0.16, 0.25, 0.36, 0.49, 0.64, 0.81, 1)
    figure = blank(max(360, 130 + 22 * side), "truth", hovermode="closest")
    figure.add_heatmap(
        z=shares,
        x=names,
        y=names,
        customdata=[list(row) for row in matrix],
        text=[["" if cell is None or cell < 0.5 else f"{cell:.0f}" for cell in row] for row in shares],
        texttemplate="%{text}" if side <= 25 else None,
        textfont={"size": 10},
        hovertemplate="%{y} predicted as %{x}<br>%{z:.2f}% of its pixels (%{customdata:,})<extra></extra>",
        colorscale=[[step, f"rgba(59,125,216,{math.sqrt(step):.2f})"] for step in steps],
        zmin=0,
        zmax=100,
        showscale=False,
        xgap=1,
        ygap=1,
        hoverongaps=False,
    )
    axis = {"type": "category", "gridcolor": "rgba(0,0,0,0)", "tickmode": "linear", "tickfont": {"size": 11}}
    figure.update_xaxes(**axis, side="top", tickangle=-90, title={"text": "predicted"})
    figure.update_yaxes(**axis, autorange="reversed")
    figure.update_layout(margin={"t": 30, "b": 10})
    return figure
