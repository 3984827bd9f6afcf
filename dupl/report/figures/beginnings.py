"""Draw which runs began as which: a line for each run, from where it left another one to where it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dupl.report.figures.colours import MARKER, page_colour
from dupl.report.figures.plotly_theme import blank_chart, count_axis, label_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Grown:
    """A run as a branch of a tree.

    Attributes:
        label: For people.
        end: Iterations done.
        start: Iterations that another run trained.
        parent: Id of that run; "" where the run trained everything itself.
        parent_name: Name of that run's folder, which is shown where the run itself is not.
    """

    label: str
    end: int
    start: int = 0
    parent: str = ""
    parent_name: str = ""


def in_order(runs: Mapping[str, Grown]) -> list[str]:
    """Return the ids of runs that are part of a tree, each below the run that it left, early forks last.

    A run that shares nothing with another one shown, and began as none, is left out. Branches that leave late come
    first, so that no line crosses another one.
    """
    children = defaultdict[str, list[str]](list)
    for name, run in runs.items():
        children[run.parent if run.parent in runs else ""].append(name)
    found: list[str] = []

    def add(name: str) -> None:
        found.append(name)
        for child in sorted(children.get(name, ()), key=lambda one: -runs[one].start):
            add(child)

    for name in children[""]:
        if name in children or runs[name].parent:
            add(name)
    return found


def tree_chart(runs: Mapping[str, Grown], colours: Sequence[str] = ()) -> Figure | None:
    """Return the runs as lines over iterations, joined where one left the other; None where none share anything.

    Args:
        runs: By id.
        colours: Labels in the order that decides their colours; by default that of the runs.
    """
    order = in_order(runs)
    if not order:
        return None
    places = {label: number for number, label in enumerate(colours or [run.label for run in runs.values()])}
    figure = blank_chart(70 + 26 * len(order), hovermode="closest", showlegend=False)
    rows = {name: len(order) - number for number, name in enumerate(order)}
    for name in order:
        run, y = runs[name], rows[name]
        colour = page_colour(run.label, places.get(run.label.rsplit(", seed", 1)[0], places.get(run.label, 0)))
        inside = run.parent in rows
        if run.parent:  # from the line of the run that it left, or along what another run outside trained
            x, level = ([run.start, run.start], [rows[run.parent], y]) if inside else ([0, run.start], [y, y])
            line = {"color": MARKER, "width": 1.5 if inside else 2, "dash": "solid" if inside else "dot"}
            figure.add_scatter(x=x, y=level, mode="lines", line=line, hoverinfo="skip" if inside else "text")
            figure.data[-1].update(text=f"trained by {label_of(run.parent_name)}")
        told = f"{label_of(run.label)}: iterations {run.start:,} to {run.end:,}"
        told += f"<br>began as {label_of(run.parent_name)}" if run.parent else ""
        figure.add_scatter(
            x=[run.start, run.end], y=[y, y], mode="lines+markers", line={"color": colour, "width": 5}, text=told
        )
        figure.data[-1].update(hoverinfo="text", marker={"size": 8, "symbol": "circle"})
    count_axis(figure, max(run.end for run in runs.values()), title={"text": "iteration"}, rangemode="tozero")
    names = [label_of(runs[name].label) for name in order]
    figure.update_yaxes(tickvals=[rows[name] for name in order], ticktext=names, showgrid=False)
    figure.update_yaxes(ticks="outside", ticklen=6, tickcolor="rgba(0,0,0,0)")
    return figure.update_yaxes(range=[0.4, len(order) + 0.6], title=None)
