"""Small line charts side by side, one per class, in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.report.figures.colours import INK, file_colour
from dupl.report.figures.matplotlib_theme import HEADING, add_heading, blank_figure, save, style_axes
from dupl.report.figures.training_curves import CROWDED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PER_ROW = 5  # charts of a row
CELL = (2.2, 1.65)  # inches
LEFT, TOP = 0.5, HEADING + 0.35  # inches beside and above the charts
DASHES = ("-", (0, (2, 1.5)), ":")
Points = Sequence[tuple[float, float]]  # iteration and percent
Lines = Mapping[str, Mapping[tuple[str, str], Points]]


@dataclass(frozen=True)
class ClassGridInfo:
    """The lines of each class that has any.

    Attributes:
        lines: By class, by owner ("student 1") and measure ("precision"); none is empty.
        owners, measures: In the order of their first line.
        last: The last iteration of all.
    """

    lines: dict[str, dict[tuple[str, str], Points]]
    owners: list[str]
    measures: list[str]
    last: float


def class_grid_info(lines: Lines) -> ClassGridInfo:
    """Return the lines without empty ones, and the owners and measures among them; ``lines`` as of `class_grid`."""
    shown = {name: {key: points for key, points in own.items() if points} for name, own in lines.items()}
    shown = {name: own for name, own in shown.items() if own}
    keys = dict.fromkeys(key for own in shown.values() for key in own)
    owners, measures = (list(dict.fromkeys(key[k] for key in keys)) for k in (0, 1))
    last = max(x for own in shown.values() for points in own.values() for x, _ in points)
    return ClassGridInfo(shown, owners, measures, last)


def class_grid(lines: Lines, path: str | Path, title: str, subtitle: str) -> None:
    """Write a figure with a chart per class, all on the same axes: a colour per student, a dash pattern per measure.

    Args:
        lines: By class, by owner ("student 1") and measure ("precision"); a class without any point is left out.
        path: The file: .png, .svg or .pdf.
        title: What is shown.
        subtitle: What else to know.
    """
    info = class_grid_info(lines)
    per_row = min(PER_ROW, max(3, len(info.lines)))
    width, height = LEFT + CELL[0] * per_row, TOP + CELL[1] * -(-len(info.lines) // per_row) + 0.25
    figure = blank_figure(width, height)
    for number, name in enumerate(info.lines):
        row, column = divmod(number, per_row)
        left, top = LEFT + CELL[0] * column, TOP + CELL[1] * row
        box = (left / width, 1 - (top + CELL[1] - 0.35) / height, (CELL[0] - 0.2) / width, (CELL[1] - 0.65) / height)
        axes = figure.add_axes(box)
        _draw_class(axes, name, info)
        axes.tick_params(labelleft=column == 0, labelbottom=number + per_row >= len(info.lines))
    _add_legend(figure, info)
    add_heading(figure, title, subtitle)
    save(figure, path)


def _draw_class(axes: Axes, name: str, info: ClassGridInfo) -> None:
    """Draw the lines of one class."""
    for (owner, measure), points in info.lines[name].items():
        colour = file_colour(owner, info.owners.index(owner))
        (line,) = axes.plot(*zip(*points, strict=True), color=colour, clip_on=False)
        dash = DASHES[info.measures.index(measure) % len(DASHES)]
        line.set(linestyle=dash, linewidth=1.6, marker="o" if len(points) < CROWDED / 4 else None, markersize=2.5)
    axes.set_title(name, loc="left", size=9.5, color=INK, parse_math=False, pad=4)
    axes.set_xlim(0, info.last)
    axes.set_xticks([0, info.last / 2, info.last], ["0", "", f"{info.last:,g}"])
    for label, side in zip(axes.get_xticklabels(), ("left", "center", "right"), strict=True):
        label.set(horizontalalignment=side)
    axes.set_ylim(-3, 103)
    axes.set_yticks([0, 50, 100])
    style_axes(axes, 7.5)


def _add_legend(figure: Figure, info: ClassGridInfo) -> None:
    """Write the legend of colours and dash patterns below the heading."""
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], color=file_colour(o, k), linewidth=4, label=o) for k, o in enumerate(info.owners)]
    for k, measure in enumerate(info.measures):
        entries.append(Line2D([], [], color=INK, label=measure))
        entries[-1].set(linestyle=DASHES[k % len(DASHES)])
    width, height = figure.get_size_inches()
    place = (0.1 / width, 1 - (HEADING - 0.1) / height)
    legend = figure.legend(handles=entries, ncols=len(entries), loc="upper left", bbox_to_anchor=place, frameon=False)
    for text in legend.get_texts():
        text.set_fontsize(9)
