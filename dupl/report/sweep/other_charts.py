"""Charts of a sweep that are not Optuna's: trials over training, importances with their spread, the Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dupl.report.figures.colours import GRID, MARKER, NOISE, PAGE_HUES
from dupl.report.figures.plotly_theme import LEGEND_ABOVE, blank_chart, count_axis, label_of
from dupl.report.sweep.points import BLUE, ORANGE, add_points, unit_of
from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.trials import fingerprint_of, goal_values, state_of

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure

COLOURS = {"best": PAGE_HUES[0], "complete": BLUE, "pruned": ORANGE, "failed": NOISE}  # by state; others are grey


def course_chart(report: SweepReport, frame: DataFrame) -> Figure | None:
    """Return the first goal over the iterations of each trial; None where the store has none of their runs.

    Args:
        report: Of the sweep.
        frame: Metrics of the trials' runs, as a store's ``frame``.
    """
    metric = report.goals[0][0]
    figure = blank_chart(360, unit_of(metric), hovermode="closest")
    part = frame[(frame["metric"] == metric) & (frame["protocol"] == "train")]
    in_legend: set[str] = set()
    for trial in report.trials:
        own = part[part["fingerprint"] == fingerprint_of(trial)].sort_values("iteration")
        if own.empty:
            continue
        best = trial.number in report.best[:1]
        state = "best" if best else state_of(trial)
        figure.add_scatter(
            x=own["iteration"].tolist(),
            y=own["value"].tolist(),
            name=state,
            legendgroup=state,
            showlegend=state not in in_legend,
            mode="lines+markers",
            opacity=1 if best else 0.55,
            line={"color": COLOURS.get(state, MARKER), "width": 3 if best else 1.4},
            marker={"size": 4},
            hovertemplate=f"trial {trial.number}, {state}<br>%{{x:,}}: %{{y:.2f}}<extra></extra>",
        )
        in_legend.add(state)
    last = max((float(max(trace.x)) for trace in figure.data), default=0.0)
    return count_axis(figure, last, title={"text": "iteration"}, rangemode="tozero") if in_legend else None


def importance_chart(report: SweepReport, metric: str) -> Figure:
    """Return the shares of the parameters by each evaluator, with their spread over bootstraps."""
    labels = {parameter.name: label_of(parameter.label) for parameter in report.parameters}
    found = [one for one in report.importances if one.metric == metric]
    order = list(dict.fromkeys(one.parameter for one in found))
    figure = blank_chart(130 + 46 * len(order), hovermode="y unified", barmode="group", bargap=0.3)
    for number, evaluator in enumerate(dict.fromkeys(one.evaluator for one in found)):
        shares = {one.parameter: one for one in found if one.evaluator == evaluator}
        part = [shares[name] for name in order]
        bars: dict[str, Any] = {"type": "data", "symmetric": False, "thickness": 1.5, "color": MARKER}
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
    return figure.update_layout(LEGEND_ABOVE)


def front_chart(report: SweepReport) -> Figure:
    """Return the first goal over the second; the trials on the Pareto front are joined by a line."""
    figure = blank_chart(400, unit_of(report.goals[0][0]), hovermode="closest")
    known = report.complete
    marker: dict[str, Any] = {"color": BLUE, "size": 8, "opacity": 0.6}
    add_points(figure, report, known, goal_values(known, 1), goal_values(known, 0), "dominated", marker)
    best = sorted((t for t in known if t.number in report.best), key=lambda t: (t.values[1], t.values[0]))
    marker = {"color": ORANGE, "size": 10}
    add_points(figure, report, best, goal_values(best, 1), goal_values(best, 0), "Pareto front", marker)
    figure.data[-1].update(mode="lines+markers", line={"color": ORANGE, "width": 2})
    return figure.update_xaxes(title={"text": unit_of(report.goals[1][0])}, gridcolor=GRID)
