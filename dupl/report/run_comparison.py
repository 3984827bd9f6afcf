"""Charts and tables across runs, from the frames of a store; the notebooks of analysis/ call these.

`runs` names groups of runs everywhere: fingerprints by label, such as the seeds of a plan's row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.report.figures.plots import GRID, MARK, blank, hue, label_of, mark, safe
from dupl.runs.evaluation_files import CLASS_COLUMNS, read_evaluation

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

    from dupl.report.tables.table import Table

Runs = Mapping[str, Sequence[str]]
BESIDE = 0.25  # rows that the seeds lie below their mean
PAPER = {"color": "#7f8792", "size": 10, "symbol": "line-ns-open", "line": {"width": 3}}  # the mark of its numbers


def present(frame: DataFrame, runs: Runs, what: str = "") -> dict[str, list[str]]:
    """Return the groups with those of their runs that a frame knows.

    Args:
        frame: With a column ``fingerprint``.
        runs: What is wanted.
        what: How to get what is missing, for the message.

    Raises:
        UserError: A group has no run in the frame.
    """
    known = set(frame["fingerprint"])
    found = {label: [one for one in wanted if one in known] for label, wanted in runs.items()}
    if missing := [label for label, have in found.items() if not have]:
        raise UserError(f"the store has nothing of {', '.join(missing)}{f': {what}' if what else ''}")
    return found


def courses(frame: DataFrame, metric: str, runs: Runs) -> DataFrame:
    """Return a metric over training: one row per label and iteration, with mean, low and high over the runs.

    Args:
        frame: Metrics, as a store's ``frame``; of it the evaluations in training.
        metric: Such as "cam/1/mIoU".
        runs: Groups.
    """
    import pandas as pd

    part = frame[(frame["protocol"] == "train") & (frame["metric"] == metric)]
    rows = []
    for label, wanted in present(part, runs, f"{metric} by the protocol train").items():
        values = part[part["fingerprint"].isin(wanted)].groupby("iteration")["value"]
        for t, found in values:
            rows.append((label, int(t), found.mean(), found.min(), found.max(), len(found)))
    return pd.DataFrame(rows, columns=["label", "iteration", "mean", "low", "high", "runs"])


def course_chart(frame: DataFrame, metric: str, runs: Runs, marks: Mapping[str, int] | None = None) -> Figure:
    """Return `courses` as lines: the mean of each group, over a band from its lowest to its highest run."""
    table, figure = courses(frame, metric, runs), blank(360, f"{metric} (%)")
    for number, (label, part) in enumerate(table.groupby("label", sort=False)):
        colour, x = hue(label, number), part["iteration"].tolist()
        if part["runs"].max() > 1:
            outline = {"x": x + x[::-1], "y": part["high"].tolist() + part["low"].tolist()[::-1]}
            figure.add_scatter(**outline, fill="toself", opacity=0.12, line_width=0, fillcolor=colour, mode="lines")
            figure.data[-1].update(showlegend=False, hoverinfo="skip")
        line = {"color": colour, "width": 2}
        figure.add_scatter(x=x, y=part["mean"].tolist(), name=label_of(label), mode="lines+markers", line=line)
    figure.update_xaxes(title={"text": "iteration"}, rangemode="tozero", tickformat=",d")
    figure.update_yaxes(hoverformat=".1f")
    mark(figure, marks or {}, float(table["iteration"].max()))
    return figure


def class_table(counts: DataFrame, label_map: str, measure: str, runs: Runs) -> DataFrame:
    """Return a measure per class: a row per class, a column per label, the mean over its runs; NaN where none has one.

    Args:
        counts: Pixels per class, as a store's ``counts``; one evaluation of each run.
        label_map: Such as "cam/1".
        measure: A column of it: "IoU", "OA", "precision" or "recall".
        runs: Groups.

    Raises:
        UserError: A group has no run, or a run has several evaluations.
    """
    import pandas as pd

    part = counts[counts["map"] == label_map]
    if (part.groupby(["fingerprint", "class"]).size() > 1).any():
        raise UserError("several evaluations of one run: ask the store for one protocol and split")
    classes = list(dict.fromkeys(part["class"]))
    columns = {}
    for label, wanted in present(part, runs, f"{label_map} per class").items():
        columns[label] = part[part["fingerprint"].isin(wanted)].groupby("class")[measure].mean().reindex(classes)
    return pd.DataFrame(columns, index=pd.Index(classes, name="class"))


def trade_chart(over: DataFrame, iou: DataFrame) -> Figure:
    """Return OA rate against IoU, a dot per class and label; a thin line joins the dots of a class.

    Args:
        over: `class_table` of "OA".
        iou: The same of "IoU".
    """
    figure = blank(460, "IoU (%)", hovermode="closest")
    for number, label in enumerate(over.columns):
        known = over[label].notna() & iou[label].notna()
        figure.add_scatter(
            x=over.loc[known, label].tolist(),
            y=iou.loc[known, label].tolist(),
            text=[safe(name) for name in over.index[known]],
            name=safe(label),
            mode="markers+text",
            textposition="top center",
            textfont={"size": 10, "color": hue(str(label), number)},
            marker={"size": 9, "color": hue(str(label), number)},
            hovertemplate="%{text}: OA %{x:.1f}, IoU %{y:.1f}<extra></extra>",
        )
    for name in over.index:
        ends = [(x, y) for x, y in zip(over.loc[name], iou.loc[name], strict=True) if x == x and y == y]
        if len(ends) > 1:
            figure.add_scatter(x=[x for x, _ in ends], y=[y for _, y in ends], mode="lines", hoverinfo="skip")
            figure.data[-1].update(line={"color": MARK, "width": 1}, showlegend=False, opacity=0.6)
    figure.update_xaxes(title={"text": "OA rate (%)"})
    return figure


def table_chart(table: Table) -> Figure:
    """Return a plan's table as a chart: each row's seeds as dots below their mean with its standard deviation.

    The paper's number stands on the line of the mean.
    """
    from plotly.subplots import make_subplots

    columns, rows = table.plan.columns, table.plan.rows
    names, places = [label_of(row.label) for row in rows], list(range(len(rows)))
    figure = make_subplots(1, len(columns), shared_yaxes=True, horizontal_spacing=0.06)
    figure.update_layout(blank(130 + 34 * len(rows), hovermode="closest").layout)
    figure.update_layout(legend={"y": 1, "yanchor": "bottom", "traceorder": "normal"}, margin={"t": 50})
    blue, style = "#3b7dd8", {"mode": "markers", "row": 1}
    told: set[str] = set()
    for number, column in enumerate(columns, 1):
        cells = [table.cells[row.key, column.key] for row in rows]
        single = [(place, seed, v) for place, cell in enumerate(cells) for seed, v in cell.values.items()]
        means = [None if cell.summary is None else cell.summary.mean for cell in cells]
        spread = [0.0 if cell.summary is None else cell.summary.std or 0.0 for cell in cells]
        runs: dict[str, Any] = {"x": [v for *_, v in single], "y": [place + BESIDE for place, *_ in single]}
        runs["text"] = [f"{names[place]}, seed {seed}" for place, seed, _ in single]
        bars = {"type": "data", "array": spread, "thickness": 1.5}
        drawn: dict[str, dict[str, Any]] = {
            "a run": {**runs, "marker": {"color": blue, "size": 7, "symbol": "circle-open"}},
            "mean, standard deviation": {"x": means, "error_x": bars, "marker": {"color": blue, "size": 9}},
            "paper": {"x": [cell.paper for cell in cells], "marker": PAPER},
        }
        for name, trace in drawn.items():
            if any(x is not None for x in trace["x"]):
                given = {"y": places, "text": names, **trace, **style}
                figure.add_scatter(**given, name=name, showlegend=name not in told, col=number)
                told.add(name)
        figure.update_xaxes(title={"text": f"{safe(column.label)} (%)"}, gridcolor=GRID, col=number)
    figure.update_yaxes(tickvals=places, ticktext=names, range=[len(rows) - 0.5, -0.5])
    figure.update_yaxes(automargin=True, gridcolor=GRID, zeroline=False)
    figure.update_traces(hovertemplate="%{text}: %{x:.1f}<extra></extra>")
    return figure


def folder_rates(folder: str | Path, label_map: str, measure: str) -> dict[str, float]:
    """Return a measure by class from an evaluation outside the store, such as that of a published checkpoint.

    Args:
        folder: Of its files, as `dupl eval --out` leaves them.
        label_map: Such as "cam/1".
        measure: "IoU", "OA", "precision" or "recall".

    Raises:
        UserError: The folder holds no evaluation, or not this map.
    """
    rows = read_evaluation(Path(folder)).per_class
    found = {row.class_name: getattr(row, CLASS_COLUMNS[measure]) for row in rows if row.label_map == label_map}
    if not found:
        raise UserError(f"{folder} has nothing of {label_map}")
    return found
