"""Contours of a sweep's goal over two parameters, interpolated between the trials and empty beyond them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dupl.report.figures.colours import NOISE
from dupl.report.figures.plotly_theme import blank_chart, label_of
from dupl.report.sweep.points import SCALE, hover_texts, positions
from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.trials import goal_values

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from plotly.graph_objects import Figure

    from dupl.plans.parameter import Parameter

FINE = 60  # points of the grid in each direction
Surface = tuple[list[float], list[float], list[list[float | None]]]  # x, y and values, (FINE, FINE)


def contour_chart(report: SweepReport, one: Parameter, other: Parameter, goal: int = 0) -> Figure:
    """Return a goal over two numeric parameters; without a surface where the trials are on a line."""
    figure = blank_chart(330, other.label, hovermode="closest", showlegend=False)
    known = [trial for trial in report.complete if one.name in trial.params and other.name in trial.params]
    values = goal_values(known, goal)
    surface = interpolate(one, other, known, values)
    if surface is not None:
        x, y, z = surface
        look: dict[str, Any] = {"colorscale": SCALE, "reversescale": report.goals[goal][1] != "maximize"}
        look |= {"ncontours": 12, "line": {"width": 0.5}, "colorbar": {"thickness": 10, "len": 0.9}}
        figure.add_contour(x=x, y=y, z=z, **look, connectgaps=False)
        figure.data[-1].hovertemplate = "%{z:.2f}, interpolated<extra></extra>"
    texts = [f"{text}<br>{value:.2f}" for text, value in zip(hover_texts(report, known), values, strict=True)]
    marker = {"color": "rgba(255,255,255,0.85)", "size": 7, "line": {"width": 1, "color": "#222"}}
    _scatter(figure, one, other, known, marker=marker, text=texts, hovertemplate="%{text}<extra></extra>")
    best = [trial for trial in known if trial.number in report.best[:1]]
    if best:
        star = {"symbol": "star", "size": 14, "color": NOISE, "line": {"width": 1, "color": "white"}}
        _scatter(figure, one, other, best, marker=star, hoverinfo="skip")
    figure.update_xaxes(title={"text": label_of(one.label)}, **_axis(one))
    return figure.update_yaxes(**_axis(other))


def _scatter(figure: Figure, one: Parameter, other: Parameter, trials: Sequence[FrozenTrial], **look: Any) -> None:
    figure.add_scatter(x=positions(one, trials), y=positions(other, trials), mode="markers", **look)


def interpolate(
    one: Parameter, other: Parameter, trials: Sequence[FrozenTrial], values: Sequence[float]
) -> Surface | None:
    """Return values on a grid over the search space, linear between the trials and None beyond them.

    Returns:
        None where there are fewer than four trials or all are on a line.
    """
    import numpy as np
    from scipy.interpolate import griddata
    from scipy.spatial import QhullError

    ticks = np.linspace(0, 1, FINE)

    def scale(parameter: Parameter) -> tuple[Any, Any]:
        """Return the trials' values on a scale from 0 to 1, and the values of the ticks."""
        found = np.array(positions(parameter, trials), float)
        low, high = float(parameter.low or 0), float(parameter.high or 1)
        if parameter.log:
            found, low, high = np.log(found), math.log(low), math.log(high)
        at = low + (high - low) * ticks
        return (found - low) / ((high - low) or 1), np.exp(at) if parameter.log else at

    (u, x), (v, y) = scale(one), scale(other)
    if len(trials) < 4:
        return None
    try:
        grid = griddata((u, v), np.array(values), (ticks[None, :], ticks[:, None]), method="linear")
    except QhullError:
        return None
    cells = [[None if math.isnan(value) else round(float(value), 4) for value in row] for row in grid]
    return x.round(8).tolist(), y.round(8).tolist(), cells


def _axis(parameter: Parameter) -> dict[str, Any]:
    """Return scale and ticks of a parameter's axis; on a log scale 1, 2 and 5 times each power of ten."""
    if not parameter.log or parameter.low is None or parameter.high is None:
        return {"type": "linear"}
    powers = range(math.floor(math.log10(parameter.low)), math.ceil(math.log10(parameter.high)) + 1)
    steps = (1, 2, 5) if len(powers) < 5 else (1,)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
