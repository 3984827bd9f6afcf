"""Charts of a sweep by Optuna, in the look of our pages, and what its charts leave out.

Optuna draws history, slices and parallel coordinates. Its history and slices show complete trials only, so pruned and
failed trials and the starting point are added. Its contours extrapolate beyond the trials, its importances have no
spread and its Pareto front writes names as HTML: those are in `dupl.report.sweep.contour` and
`dupl.report.sweep.other_charts`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dupl.report.figures.colours import MARKER, NOISE
from dupl.report.figures.plotly_theme import TICKS, blank_chart, count_axis, label_of, safe
from dupl.report.sweep.memory_study import memory_study
from dupl.report.sweep.points import BLUE, HOVER, ORANGE, SCALE, add_points, hover_texts, positions, unit_of
from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.trials import goal_values, state_of, was_pruned

if TYPE_CHECKING:
    from optuna import Study
    from plotly.graph_objects import Figure

    from dupl.plans.parameter import Parameter

TRIANGLE = {"color": NOISE, "size": 9, "symbol": "triangle-up"}
CROSS = {"color": ORANGE, "size": 8, "symbol": "x-thin", "line": {"width": 2, "color": ORANGE}}


def history_chart(report: SweepReport, goal: int = 0) -> Figure:
    """Return a goal over the trials: complete, pruned (at their last value), failed; and the best so far."""
    from optuna.visualization import plot_optimization_history

    metric, _ = report.goals[goal]
    known, pruned = report.complete, [trial for trial in report.trials if was_pruned(trial)]
    chart = themed(plot_optimization_history(goal_study(report, goal)), 360, unit_of(metric))
    if known:
        points, best, _ = chart.data
        points.update(name="complete", text=hover_texts(report, known), hovertemplate=HOVER)
        points.marker.update(color=BLUE, size=8)
        first = known[0].number
        best.update(x=best.x[first:], y=best.y[first:], name="best so far", hoverinfo="skip")
        best.line.update(color=BLUE, width=2, shape="hv")
        chart.data = (points, best)
    add_points(
        chart, report, pruned, [t.number for t in pruned], goal_values(pruned, goal), "pruned, last value", CROSS
    )
    lost = [trial for trial in report.trials if state_of(trial) == "failed"]
    shown = [v for v in goal_values([*known, *pruned], goal) if math.isfinite(v)]
    if shown:
        marker = {"color": NOISE, "size": 9, "symbol": "triangle-up"}
        add_points(chart, report, lost, [t.number for t in lost], [min(shown)] * len(lost), "failed", marker)
    if report.start in known:
        (value,) = goal_values([report.start], goal)
        chart.add_hline(value, line={"color": MARKER, "width": 1, "dash": "dash"})
        text = f"the starting point, trial {report.start.number}"
        place = {"x": 1, "xref": "paper", "xanchor": "right", "y": value, "yanchor": "bottom"}
        chart.add_annotation(text=text, font={"size": 11}, showarrow=False, **place)
    step = math.ceil(len(report.trials) / TICKS)
    return count_axis(chart, len(report.trials) - 1, title={"text": "trial"}, tick0=0, dtick=max(1, step))


def slice_chart(report: SweepReport, parameter: Parameter, goal: int = 0) -> Figure:
    """Return a goal over one parameter, whatever the others were: later trials lighter, pruned ones below all.

    The last value of a pruned trial cannot be compared with complete trials, so its height means nothing.
    """
    from optuna.visualization import plot_slice

    metric, name = report.goals[goal][0], parameter.name
    known, pruned = ([t for t in group if name in t.params] for group in (report.complete, report.trials))
    pruned = [trial for trial in pruned if was_pruned(trial)]
    if not known:
        return blank_chart(300, unit_of(metric))
    chart = themed(plot_slice(goal_study(report, goal), [name]), 300, unit_of(metric))
    points = chart.data[0]
    points.update(name="complete", text=hover_texts(report, known), hovertemplate=HOVER)
    points.marker.update(colorscale=SCALE, showscale=False, size=9, line={"width": 1, "color": MARKER})
    values = goal_values(known, goal)
    floor = min(values) - 0.08 * ((max(values) - min(values)) or 1)
    add_points(chart, report, pruned, positions(parameter, pruned), [floor] * len(pruned), "pruned", CROSS)
    if report.start in known:
        star = {"symbol": "star-open", "size": 15, "color": NOISE, "line": {"width": 2}}
        start = [report.start]
        add_points(chart, report, start, positions(parameter, start), goal_values(start, goal), "start", star)
    return chart.update_layout(showlegend=False).update_xaxes(title={"text": label_of(parameter.label)})


def parallel_chart(report: SweepReport, goal: int = 0) -> Figure:
    """Return parallel coordinates: a line per complete trial through a goal and all parameters, the best on top."""
    from optuna.visualization import plot_parallel_coordinate
    from plotly.colors import sample_colorscale

    known = report.complete
    chart = themed(plot_parallel_coordinate(goal_study(report, goal)), 400, "")
    lines = list(chart.data[: len(known)])
    maximize = report.goals[goal][1] == "maximize"
    heights = [line.y[0] if maximize else 1 - line.y[0] for line in lines]
    texts, values = hover_texts(report, known), goal_values(known, goal)
    for line, height, text, value in zip(lines, heights, texts, values, strict=True):
        line.update(text=f"{text}<br>{value:.2f}", hovertemplate="%{text}<extra></extra>", opacity=0.75)
        line.line.update(color=sample_colorscale(SCALE, [height])[0], width=1.6)
    order = sorted(range(len(lines)), key=heights.__getitem__)
    lines[order[-1]].update(opacity=1, line={"width": 4})
    chart.data = [lines[k] for k in order]
    labels = {parameter.name: parameter.label for parameter in report.parameters}
    names = sorted({name for trial in known for name in trial.params})
    titles = [unit_of(report.goals[goal][0]), *(labels.get(name, name) for name in names)]
    ticks = [label_of(title).replace("/mIoU", "<br>mIoU") for title in titles]  # room on a phone
    chart.update_xaxes(ticktext=ticks, side="top", fixedrange=True).update_annotations(font={"color": None})
    return chart.update_layout(margin={"l": 30, "r": 30, "t": 60, "b": 30}, showlegend=False)


def goal_study(report: SweepReport, goal: int) -> Study:
    """Return the trials as a study of one goal, in which all but the complete ones count as failed."""
    known = {trial.number for trial in report.complete}
    values = goal_values(report.trials, goal)
    kept = [v if t.number in known else math.nan for t, v in zip(report.trials, values, strict=True)]
    return memory_study(report.trials, kept, report.goals[goal][1], choice_text=safe)


def themed(chart: Figure, height: int, unit: str) -> Figure:
    """Return a chart by Optuna in the look of our pages; types, ticks and shapes of its axes stay."""
    chart.layout.template, chart.layout.title = None, None
    return chart.update_layout(blank_chart(height, unit, hovermode="closest").layout.to_plotly_json())
