"""Charts of a sweep's parameters together: contours of two, parallel coordinates of all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dupl.report.figures.colours import MARKER, NOISE
from dupl.report.figures.plotly_theme import blank_chart, label_of, safe
from dupl.report.sweep.charts import SCALE, points_of, scale_of, told, unit, values_on
from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.trials import Axis, complete, goal_values

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

FINE = 60  # points of a contour's grid in each direction


def contour_chart(report: SweepReport, one: Axis, other: Axis, goal: int = 0) -> Figure:
    """Return the first goal over two numeric parameters: interpolated between the trials, and nothing beyond them."""
    figure = blank_chart(330, other.label, hovermode="closest", showlegend=False)
    known = complete(report.outline, report.trials).dropna(subset=[one.column, other.column])
    z = goal_values(known, goal)
    surface = _between(one, other, known, z)
    best = report.outline.goals[goal][1] == "maximize"
    bar = {"thickness": 10, "len": 0.9}
    if surface is not None:
        x, y, grid = surface
        figure.add_contour(
            x=x, y=y, z=grid, colorscale=SCALE, reversescale=not best, ncontours=12, line={"width": 0.5}, colorbar=bar
        )
        figure.data[-1].update(hovertemplate="%{z:.2f}, interpolated<extra></extra>", connectgaps=False)
    marker = {"color": "rgba(255,255,255,0.85)", "size": 7, "line": {"width": 1, "color": "#222"}}
    hover = [f"{text}<br>{value:.2f}" for text, value in zip(points_of(report.outline, known), z, strict=True)]
    figure.add_scatter(x=values_on(one, known), y=values_on(other, known), mode="markers", marker=marker, text=hover)
    figure.data[-1].update(hovertemplate="%{text}<extra></extra>")
    if report.best and len(top := known[known["number"] == report.best[0]]):
        star = {"symbol": "star", "size": 14, "color": NOISE, "line": {"width": 1, "color": "white"}}
        figure.add_scatter(
            x=values_on(one, top), y=values_on(other, top), mode="markers", marker=star, hoverinfo="skip"
        )
    figure.update_xaxes(title={"text": label_of(one.label)}, **scale_of(one))
    figure.update_yaxes(**scale_of(other))
    return figure


def _between(
    one: Axis, other: Axis, known: DataFrame, z: list[float]
) -> tuple[list[float], list[float], list[list[float | None]]] | None:
    """A grid of values, linear between the trials, None outside of them; nothing where they lie on a line."""
    import numpy as np
    from scipy.interpolate import griddata
    from scipy.spatial import QhullError

    def scale(axis: Axis) -> tuple[Any, Any]:
        values = known[axis.column].to_numpy(float)
        low, high = float(axis.low or 0), float(axis.high or 1)
        if axis.log:
            values, low, high = np.log(values), math.log(low), math.log(high)
        ticks = np.linspace(0, 1, FINE)
        real = low + (high - low) * ticks
        return (values - low) / ((high - low) or 1), np.exp(real) if axis.log else real

    (u, x), (v, y) = scale(one), scale(other)
    if len(known) < 4:
        return None
    ticks = np.linspace(0, 1, FINE)
    try:
        grid = griddata((u, v), np.array(z), (ticks[None, :], ticks[:, None]), method="linear")
    except QhullError:
        return None
    cells = [[None if math.isnan(value) else round(float(value), 4) for value in row] for row in grid]
    return x.round(8).tolist(), y.round(8).tolist(), cells


def parallel_chart(report: SweepReport) -> Figure:
    """Return parallel coordinates of the complete trials: a line each, through its goals and parameters.

    Drawn as lines, since plotly's own parallel coordinates need WebGL, which not every browser has.
    """
    from plotly.colors import sample_colorscale

    outline, known = report.outline, complete(report.outline, report.trials)
    scales = [_measured(unit(metric), goal_values(known, k)) for k, (metric, _) in enumerate(outline.goals)]
    scales += [_scaled(axis, known[axis.column].tolist()) for axis in outline.axes if axis.column in known]
    goal = goal_values(known, 0)
    low, high = min(goal), max(goal)
    best = outline.goals[0][1] == "maximize"
    shares = [(value - low) / ((high - low) or 1) for value in goal]
    colours = sample_colorscale(SCALE, [share if best else 1 - share for share in shares])
    figure = blank_chart(400, hovermode="closest", showlegend=False, margin={"l": 30, "r": 30, "t": 60, "b": 30})
    hover = points_of(outline, known)
    for k in sorted(range(len(known)), key=lambda k: shares[k], reverse=not best):  # the best on top
        top = known["number"].iloc[k] in report.best[:1]
        figure.add_scatter(
            x=list(range(len(scales))),
            y=[scale.places[k] for scale in scales],
            mode="lines+markers",
            line={"color": colours[k], "width": 4 if top else 1.6},
            marker={"size": 5, "color": colours[k]},
            opacity=1 if top else 0.75,
            text=f"{hover[k]}<br>{goal[k]:.2f}",
            hovertemplate="%{text}<extra></extra>",
        )
    for place, scale in enumerate(scales):
        for at, text in scale.ticks:
            figure.add_annotation(x=place, y=at, text=safe(text), showarrow=False, xanchor="left", xshift=4)
    figure.update_annotations(font={"size": 10})
    names = [label_of(scale.label).replace("/mIoU", "<br>mIoU") for scale in scales]  # room on a phone
    figure.update_xaxes(tickvals=list(range(len(scales))), ticktext=names, side="top", range=[-0.2, len(scales) - 0.55])
    figure.update_xaxes(gridcolor=MARKER, fixedrange=True)
    figure.update_yaxes(visible=False, range=[-0.06, 1.06], fixedrange=True)
    return figure


@dataclass(frozen=True)
class _Scale:
    """One axis of parallel coordinates: where trials and ticks lie, 0 to 1; None where a trial has no value."""

    label: str
    places: list[float | None]
    ticks: list[tuple[float, str]]


def _measured(label: str, values: list[float]) -> _Scale:
    low, high = min(values), max(values)
    ticks = [(at, f"{low + (high - low) * at:.1f}") for at in (0.0, 0.5, 1.0)]
    return _Scale(label, [(value - low) / ((high - low) or 1) for value in values], ticks)


def _scaled(axis: Axis, values: list[Any]) -> _Scale:
    if axis.low is None or axis.high is None:
        rank = {choice: k / ((len(axis.choices) - 1) or 1) for k, choice in enumerate(axis.choices)}
        return _Scale(axis.label, [rank.get(value) for value in values], [(at, str(c)) for c, at in rank.items()])
    turn: Any = math.log if axis.log else float
    low, high = turn(axis.low), turn(axis.high)
    span = (high - low) or 1
    places = [None if value is None or value != value else (turn(value) - low) / span for value in values]
    middle = math.exp((low + high) / 2) if axis.log else (low + high) / 2
    ticks = [(0.0, told(axis, axis.low)), (0.5, told(axis, middle)), (1.0, told(axis, axis.high))]
    return _Scale(axis.label, places, ticks)
