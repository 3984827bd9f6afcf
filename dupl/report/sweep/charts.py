"""Charts of a sweep as plotly figures: history, courses, slices, importances, front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dupl.report.figures.colours import GRID, MARKER, NOISE, PAGE_HUES, PAGE_STUDENTS
from dupl.report.figures.plotly_theme import LEGEND_ABOVE, blank_chart, label_of, safe
from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.trials import Axis, SweepOutline, complete, goal_values

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

BLUE, ORANGE = PAGE_STUDENTS[1], PAGE_STUDENTS[2]
SCALE = "Viridis"
COLOURS = {"best": PAGE_HUES[0], "complete": BLUE, "pruned": ORANGE, "failed": NOISE}  # of a trial; others are at work


def unit(metric: str) -> str:
    """A metric with what it is measured in."""
    return f"{metric} (%)" if "/" in metric else metric.replace("_", " ")


def told(axis: Axis, value: Any) -> str:
    """A value of a parameter."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return (
        f"{value:.4g}" if isinstance(value, float) and not axis.whole else f"{value:,.0f}" if axis.whole else str(value)
    )


def points_of(outline: SweepOutline, trials: DataFrame) -> list[str]:
    """What stands beside each trial's point."""
    lines = []
    for _, row in trials.iterrows():
        params = (f"{label_of(a.label)} {told(a, row[a.column])}" for a in outline.axes if a.column in trials)
        lines.append("<br>".join([f"trial {row['number']}, {row['state']}", *params]))
    return lines


def history_chart(report: SweepReport, goal: int = 0) -> Figure:
    """Return a goal over the trials: complete, pruned (what they had by then), failed; and the best so far."""
    outline, trials = report.outline, report.trials.sort_values("number")
    metric, direction = outline.goals[goal]
    figure = blank_chart(360, unit(metric), hovermode="closest")
    known, pruned = complete(outline, trials), trials[trials["state"] == "pruned"]
    values = goal_values(known, goal)
    kinds: list[tuple[str, Any, dict[str, Any]]] = [
        ("complete", known, {"color": BLUE, "size": 8}),
        ("pruned, where it stood", pruned, {"color": ORANGE, "size": 8, "symbol": "x-thin", "line": {"width": 2}}),
    ]
    kinds[1][2]["line"]["color"] = ORANGE
    for name, part, marker in kinds:
        if len(part):
            _points(figure, part["number"].tolist(), goal_values(part, goal), name, marker, points_of(outline, part))
    lost = trials[trials["state"] == "failed"]
    shown = [v for v in [*values, *goal_values(pruned, goal)] if math.isfinite(v)]
    if len(lost) and shown:
        marker = {"color": NOISE, "size": 9, "symbol": "triangle-up"}
        _points(figure, lost["number"].tolist(), [min(shown)] * len(lost), "failed", marker, points_of(outline, lost))
    best, line = -math.inf, []
    sign = 1 if direction == "maximize" else -1
    for value in values:
        best = max(best, sign * value)
        line.append(sign * best)
    style = {"color": BLUE, "width": 2, "shape": "hv"}
    figure.add_scatter(
        x=known["number"].tolist(), y=line, name="best so far", mode="lines", line=style, hoverinfo="skip"
    )
    start = known[known["number"] == outline.start]
    if len(start):
        figure.add_hline(goal_values(start, goal)[0], line={"color": MARKER, "width": 1, "dash": "dash"})
        figure.add_annotation(
            x=1, xref="paper", xanchor="right", y=goal_values(start, goal)[0], yanchor="bottom", showarrow=False
        )
        figure.layout.annotations[-1].update(text=f"the starting point, trial {outline.start}", font={"size": 11})
    figure.update_xaxes(title={"text": "trial"}, tickformat="d")
    return figure


def _points(figure: Figure, x: Any, y: Any, name: str, marker: dict[str, Any], text: Sequence[str]) -> None:
    """Add points with what they tell; none where there is no value."""
    have = [k for k, value in enumerate(y) if math.isfinite(value)]
    if have:
        figure.add_scatter(x=[x[k] for k in have], y=[y[k] for k in have], text=[text[k] for k in have], name=name)
        figure.data[-1].update(mode="markers", marker=marker, hovertemplate="%{text}<br>%{y:.2f}<extra></extra>")


def course_chart(report: SweepReport, frame: DataFrame) -> Figure | None:
    """Return the first goal over the iterations of each trial; None where no run of theirs is in the store.

    Args:
        report: Of the sweep.
        frame: Metrics of the trials' runs, as a store's ``frame``.
    """
    outline, figure = report.outline, blank_chart(360, unit(report.outline.goals[0][0]), hovermode="closest")
    part = frame[(frame["metric"] == outline.goals[0][0]) & (frame["protocol"] == "train")]
    best = report.best[0] if report.best else None
    seen: set[str] = set()
    for _, trial in report.trials.sort_values("number").iterrows():
        own = part[part["fingerprint"] == trial["run"]].sort_values("iteration")
        state = "best" if trial["number"] == best else trial["state"]
        if own.empty:
            continue
        colour = COLOURS.get(state, MARKER)
        figure.add_scatter(
            x=own["iteration"].tolist(),
            y=own["value"].tolist(),
            name=state,
            legendgroup=state,
            showlegend=state not in seen,
            mode="lines+markers",
            opacity=1 if state == "best" else 0.55,
            line={"color": colour, "width": 3 if state == "best" else 1.4},
            marker={"size": 4},
            hovertemplate=f"trial {trial['number']}, {state}<br>%{{x:,}}: %{{y:.2f}}<extra></extra>",
        )
        seen.add(state)
    figure.update_xaxes(title={"text": "iteration"}, rangemode="tozero", tickformat=",d")
    return figure if seen else None


def slice_chart(report: SweepReport, axis: Axis, goal: int = 0) -> Figure:
    """Return a goal over one parameter, whatever the others were: later trials lighter, the pruned ones below all.

    What a pruned trial had by then is no match for complete ones, so its height says nothing; it tells its value.
    """
    outline = report.outline
    figure = blank_chart(300, unit(outline.goals[goal][0]), hovermode="closest", showlegend=False)
    have = report.trials[report.trials[axis.column].notna()] if axis.column in report.trials else report.trials.iloc[:0]
    pruned, known = have[have["state"] == "pruned"], complete(outline, have)
    values = goal_values(known, goal)
    if values:
        floor = min(values) - 0.08 * ((max(values) - min(values)) or 1)
        cross = {"color": ORANGE, "size": 7, "symbol": "x-thin", "line": {"width": 1.5, "color": ORANGE}}
        hover = [
            f"{text}<br>{value:.2f}"
            for text, value in zip(points_of(outline, pruned), goal_values(pruned, goal), strict=True)
        ]
        figure.add_scatter(x=values_on(axis, pruned), y=[floor] * len(pruned), mode="markers", marker=cross, text=hover)
        figure.data[-1].update(name="pruned", hovertemplate="%{text}<extra></extra>")
    later = {"color": known["number"].tolist(), "colorscale": SCALE, "size": 9, "line": {"width": 1, "color": MARKER}}
    _points(figure, values_on(axis, known), values, "complete", later, points_of(outline, known))
    start = known[known["number"] == outline.start]
    star = {"symbol": "star-open", "size": 15, "color": NOISE, "line": {"width": 2}}
    _points(figure, values_on(axis, start), goal_values(start, goal), "start", star, points_of(outline, start))
    figure.update_xaxes(title={"text": label_of(axis.label)}, **scale_of(axis))
    return figure


def values_on(axis: Axis, trials: DataFrame) -> list[Any]:
    """A parameter of trials, as a chart takes it."""
    values = trials[axis.column].tolist() if axis.column in trials else []
    return [safe(value) for value in values] if axis.low is None else [float(value) for value in values]


def scale_of(axis: Axis) -> dict[str, Any]:
    """Scale and ticks of a parameter; on a log scale 1, 2 and 5 of each power of ten."""
    if axis.low is None or axis.high is None:
        return {"type": "category"}
    if not axis.log:
        return {"type": "linear"}
    powers = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
    steps = (1, 2, 5) if len(powers) < 5 else (1,)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def importance_chart(report: SweepReport, metric: str) -> Figure:
    """Return the shares of the parameters by each evaluator, with their spread over bootstraps."""
    labels = {axis.name: label_of(axis.label) for axis in report.outline.axes}
    found = [one for one in report.importances if one.metric == metric]
    order = list(dict.fromkeys(one.axis for one in found))
    figure = blank_chart(130 + 46 * len(order), hovermode="y unified", barmode="group", bargap=0.3)
    for number, evaluator in enumerate(dict.fromkeys(one.evaluator for one in found)):
        shares = {one.axis: one for one in found if one.evaluator == evaluator}
        part = [shares[name] for name in order]
        bars = {"type": "data", "symmetric": False, "thickness": 1.5, "color": MARKER}
        bars["array"] = [max(0.0, one.high - one.value) if one.high == one.high else 0.0 for one in part]
        bars["arrayminus"] = [max(0.0, one.value - one.low) if one.low == one.low else 0.0 for one in part]
        figure.add_bar(
            y=[labels[name] for name in order],
            x=[one.value for one in part],
            error_x=bars,
            name=evaluator,
            orientation="h",
            marker={"color": (BLUE, PAGE_HUES[0])[number % 2]},
            hovertemplate="%{x:.2f}<extra>" + evaluator + "</extra>",
        )
    figure.update_xaxes(title={"text": "share"}, range=[0, 1.02])
    figure.update_yaxes(type="category", autorange="reversed", gridcolor="rgba(0,0,0,0)")
    figure.update_layout(LEGEND_ABOVE)
    return figure


def front_chart(report: SweepReport) -> Figure:
    """Return the first two goals against each other, and the trials that no other beats as a line."""
    outline = report.outline
    known = complete(outline, report.trials)
    figure = blank_chart(400, unit(outline.goals[0][0]), hovermode="closest")
    marker = {"color": BLUE, "size": 8, "opacity": 0.6}
    _points(figure, goal_values(known, 1), goal_values(known, 0), "beaten", marker, points_of(outline, known))
    rows = known.set_index("number", drop=False).loc[list(report.best)]
    ends = sorted(zip(goal_values(rows, 1), goal_values(rows, 0), points_of(outline, rows), strict=True))
    marker = {"color": ORANGE, "size": 10}
    _points(figure, [e[0] for e in ends], [e[1] for e in ends], "front", marker, [e[2] for e in ends])
    figure.data[-1].update(mode="lines+markers", line={"color": ORANGE, "width": 2})
    figure.update_xaxes(title={"text": unit(outline.goals[1][0])}, gridcolor=GRID)
    return figure
