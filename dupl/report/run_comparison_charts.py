"""Charts across runs, from the tables of `dupl.report.run_comparison`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dupl.report.figures.colours import AVERAGED, GRID, MARKER, PAGE_STUDENTS, page_colour
from dupl.report.figures.plotly_theme import LEGEND_ABOVE, add_markers, blank_chart, count_axis, label_of, safe
from dupl.report.run_comparison import Runs, courses

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

    from dupl.report.tables.table import Cell, Table

Trace = dict[str, Any]
PAPER = {"color": AVERAGED, "size": 10, "symbol": "line-ns-open", "line": {"width": 3}}  # of the paper's numbers
BELOW = 0.25  # rows by which the seeds are below their mean
RUN = {"color": PAGE_STUDENTS[1], "size": 7, "symbol": "circle-open"}
MEAN = {"color": PAGE_STUDENTS[1], "size": 9}


def course_chart(
    frame: DataFrame,
    metric: str,
    runs: Runs,
    markers: Mapping[str, int] | None = None,
    rows: Sequence[str] | None = None,
) -> Figure:
    """Return `courses` as lines: the mean of each group, over a band from its lowest to its highest run.

    Args:
        frame: Metrics, as a store's ``frame``.
        metric: Such as "cam/1/mIoU".
        runs: Groups.
        markers: Iterations at which components start, by what starts there.
        rows: All labels of the plan, in order: a row has the colour of its place among them, whichever rows have the
            metric. By default the groups.
    """
    table, figure = courses(frame, metric, runs), blank_chart(360, f"{metric} (%)")
    places = {label: number for number, label in enumerate(rows or list(runs))}
    for label, part in table.groupby("label", sort=False):
        colour, x = page_colour(label, places[label]), part["iteration"].tolist()
        if part["runs"].max() > 1:
            outline = {"x": x + x[::-1], "y": part["high"].tolist() + part["low"].tolist()[::-1]}
            figure.add_scatter(**outline, fill="toself", opacity=0.12, line_width=0, fillcolor=colour, mode="lines")
            figure.data[-1].update(showlegend=False, hoverinfo="skip")
        line = {"color": colour, "width": 2}
        figure.add_scatter(x=x, y=part["mean"].tolist(), name=label_of(label), mode="lines+markers", line=line)
    last = float(table["iteration"].max())
    count_axis(figure, last, title={"text": "iteration"}, rangemode="tozero")
    figure.update_yaxes(hoverformat=".1f").update_layout(showlegend=True)
    add_markers(figure, markers or {}, last)
    return figure


def trade_chart(over: DataFrame, iou: DataFrame) -> Figure:
    """Return IoU over OA rate, a dot per class and label; a thin line joins the dots of a class.

    Args:
        over: `class_table` of "OA".
        iou: The same of "IoU".
    """
    figure = blank_chart(460, "IoU (%)", hovermode="closest")
    for number, label in enumerate(over.columns):
        known = over[label].notna() & iou[label].notna()
        figure.add_scatter(
            x=over.loc[known, label].tolist(),
            y=iou.loc[known, label].tolist(),
            text=[safe(name) for name in over.index[known]],
            name=safe(label),
            mode="markers+text",
            textposition="top center",
            textfont={"size": 10, "color": page_colour(str(label), number)},
            marker={"size": 9, "color": page_colour(str(label), number)},
            hovertemplate="%{text}: OA %{x:.1f}, IoU %{y:.1f}<extra></extra>",
        )
    for name in over.index:
        ends = [(x, y) for x, y in zip(over.loc[name], iou.loc[name], strict=True) if x == x and y == y]
        if len(ends) > 1:
            figure.add_scatter(x=[x for x, _ in ends], y=[y for _, y in ends], mode="lines", hoverinfo="skip")
            figure.data[-1].update(line={"color": MARKER, "width": 1}, showlegend=False, opacity=0.6)
    figure.update_xaxes(title={"text": "OA rate (%)"})
    return figure


def table_chart(table: Table) -> Figure:
    """Return a plan's table as a chart: the seeds of each row below their mean with its standard deviation.

    The paper's number is on the line of the mean.
    """
    from plotly.subplots import make_subplots

    columns, rows = table.plan.columns, table.plan.rows
    names, places = [label_of(row.label) for row in rows], list(range(len(rows)))
    figure = make_subplots(1, len(columns), shared_yaxes=True, horizontal_spacing=0.06)
    figure.update_layout(blank_chart(130 + 34 * len(rows), hovermode="closest").layout).update_layout(LEGEND_ABOVE)
    in_legend: set[str] = set()
    for number, column in enumerate(columns, 1):
        traces = _traces([table.cells[row.key, column.key] for row in rows], names)
        for name, trace in traces.items():
            if any(x is not None for x in trace["x"]):
                shown = name not in in_legend
                figure.add_scatter(**trace, name=name, mode="markers", showlegend=shown, row=1, col=number)
                in_legend.add(name)
        figure.update_xaxes(title={"text": f"{safe(column.heading)} (%)"}, gridcolor=GRID, col=number)
    figure.update_yaxes(tickvals=places, ticktext=names, range=[len(rows) - 0.5, -0.5])
    figure.update_yaxes(automargin=True, gridcolor=GRID, zeroline=False)
    figure.update_traces(hovertemplate="%{text}: %{x:.1f}<extra></extra>")
    return figure


def _traces(cells: list[Cell], names: list[str]) -> dict[str, Trace]:
    """Return runs, means and the paper's numbers of one column, by their name in the legend."""
    runs = [(place, seed, value) for place, cell in enumerate(cells) for seed, value in cell.values.items()]
    means = [None if cell.summary is None else cell.summary.mean for cell in cells]
    spread = [0.0 if cell.summary is None else cell.summary.std or 0.0 for cell in cells]
    bars = {"type": "data", "array": spread, "thickness": 1.5}
    rows = {"y": list(range(len(cells))), "text": names}
    return {
        "a run": {
            "x": [value for *_, value in runs],
            "y": [place + BELOW for place, *_ in runs],
            "text": [f"{names[place]}, seed {seed}" for place, seed, _ in runs],
            "marker": RUN,
        },
        "mean, standard deviation": {"x": means, "error_x": bars, "marker": MEAN, **rows},
        "paper": {"x": [cell.paper for cell in cells], "marker": PAPER, **rows},
    }
