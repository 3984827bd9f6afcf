"""Metrics over training: the lines of a chart, and the chart for pages; `training_curves_file` draws it in a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

from dupl.report.figures.colours import NOISE, PAGE_STUDENTS, page_colour
from dupl.report.figures.plotly_theme import add_markers, blank_chart, count_axis, label_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

CROWDED = 40  # points of a line from which on they are not marked
SHARES = ("#2f9e72", NOISE, "#9aa3ad")  # supervised, filtered, undecided


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        label: Its name.
        student: 1, 2, ..., as the key says ("cam/1/mIoU"); 0 for a line of no single student.
        family: Number of the metric among those drawn; lines of the students for one metric share it.
        points: Iteration and value, by iteration.
    """

    label: str
    student: int
    family: int
    points: tuple[tuple[float, float], ...]


def series_info(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[Series]:
    """Return the lines of a chart in the order of their names, including lines without points.

    Args:
        rows: Values by key, as in scalars.jsonl; "iter" is the iteration. Values that are missing, None or not finite
            give no point.
        names: Key of each line by its label.
    """
    families: dict[str, int] = {}
    found = []
    for label, key in names.items():
        student = re.search(r"(?:^|[/_ ])(\d)(?:$|[/_ ])", key)
        metric = key if student is None else key[: student.start(1)] + key[student.end(1) :]
        values = {row["iter"]: row[key] for row in rows if _number(row.get(key)) and _number(row.get("iter"))}
        family = families.setdefault(metric, len(families))
        found.append(Series(label, int(student[1]) if student else 0, family, tuple(sorted(values.items()))))
    return found


def _number(value: Any) -> bool:
    """Return whether a value can be drawn, also in percent, where the largest floating-point numbers overflow."""
    return isinstance(value, Real) and abs(cast(float, value)) <= sys.float_info.max / 100


def line_chart(
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    unit: str,
    markers: Mapping[str, int] | None = None,
    smooth: bool = False,
    factor: float = 1,
) -> Figure:
    """Return a chart of scalars over iterations.

    Args:
        rows: As `series_info` takes them.
        names: Key of each line by its label.
        unit: Of the values.
        markers: Iterations at which components start, by what starts there.
        smooth: Whether a page may smooth the lines.
        factor: Multiplies all values, such as 100 for shares in percent.
    """
    figure = blank_chart(300, unit)
    drawn = [line for line in series_info(rows, names) if line.points]
    last = max([1.0, *(line.points[-1][0] for line in drawn)])
    crowded = any(len(line.points) > CROWDED for line in drawn)
    for number, line in enumerate(drawn):
        figure.add_scatter(
            x=[x for x, _ in line.points],
            y=[factor * y for _, y in line.points],
            name=label_of(line.label),
            mode="lines" if crowded else "lines+markers",
            line={
                "color": PAGE_STUDENTS.get(line.student) or page_colour(line.label, number),
                "width": 2,
                "dash": ("solid", "dash", "dot")[line.family % 3] if line.student else "solid",
            },
            marker={"size": 5},
            meta={"smooth": smooth},
        )
    count_axis(figure, last, title={"text": "iteration", "standoff": 6}, range=[0, 1.02 * last])
    figure.update_yaxes(hoverformat=".4~g", exponentformat="e")
    add_markers(figure, markers or {}, last)
    return figure


def share_chart(
    rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], markers: Mapping[str, int] | None = None
) -> Figure:
    """Return shares in [0, 1] stacked on each other, in percent; arguments as of `line_chart`."""
    figure = line_chart(rows, names, "% of pixels", markers, factor=100)
    for number, trace in enumerate(figure.data):
        trace.update(stackgroup="one", mode="lines", line={"width": 0.5, "color": SHARES[number % 3]}, marker=None)
    figure.update_yaxes(range=[0, 100], hoverformat=".1f")
    return figure
