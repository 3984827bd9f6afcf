"""Points of trials in charts: their positions, what each tells on hover, and units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dupl.report.figures.colours import PAGE_STUDENTS
from dupl.report.figures.plotly_theme import label_of, safe
from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.trials import state_of, value_text

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from plotly.graph_objects import Figure

    from dupl.plans.parameter import Parameter

BLUE, ORANGE = PAGE_STUDENTS[1], PAGE_STUDENTS[2]
SCALE = "Viridis"
HOVER = "%{text}<br>%{y:.2f}<extra></extra>"


def add_points(
    chart: Figure,
    report: SweepReport,
    trials: Sequence[FrozenTrial],
    x: Sequence[Any],
    y: Sequence[float],
    name: str,
    marker: dict[str, Any],
) -> None:
    """Add the points of trials with what each tells; nothing where no trial has a value."""
    texts = hover_texts(report, trials)
    have = [k for k, value in enumerate(y) if math.isfinite(value)]
    if have:
        chart.add_scatter(x=[x[k] for k in have], y=[y[k] for k in have], text=[texts[k] for k in have], name=name)
        chart.data[-1].update(mode="markers", marker=marker, hovertemplate=HOVER)


def positions(parameter: Parameter, trials: Sequence[FrozenTrial]) -> list[Any]:
    """Return the values of a parameter as positions on an axis; the choices of a categorical one are text."""
    values = [trial.params[parameter.name] for trial in trials]
    return [safe(value) for value in values] if parameter.type == "categorical" else values


def hover_texts(report: SweepReport, trials: Sequence[FrozenTrial]) -> list[str]:
    """Return number, state and parameters of each trial, as HTML for plotly."""
    texts = []
    for trial in trials:
        params = (f"{label_of(p.label)} {label_of(value_text(p, trial.params.get(p.name)))}" for p in report.parameters)
        texts.append("<br>".join([f"trial {trial.number}, {state_of(trial)}", *params]))
    return texts


def unit_of(metric: str) -> str:
    """Return a metric with its unit."""
    return f"{metric} (%)" if "/" in metric else metric.replace("_", " ")
