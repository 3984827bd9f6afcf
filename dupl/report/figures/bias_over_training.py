"""CAMs and metrics of several runs over training, in a file: confirmation bias, the paper's Fig. 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.report.figures.colours import FAINT, FILE_HUES, FILE_STUDENTS, INK, RGB
from dupl.report.figures.figure_sheet import Picture
from dupl.report.figures.matplotlib_theme import HEADING, add_heading, add_line, blank_figure, save, style_axes
from dupl.report.symbols import mathtext

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

COLOURS: tuple[RGB, ...] = (FILE_STUDENTS[2], FILE_STUDENTS[1], *FILE_HUES)
WIDTH, PANEL, SIDE = 9.0, 2.6, 0.98  # inches: of the figure, of the curves' height, of a picture
PICTURES = 7  # iterations that have a picture
ABOVE, AXIS = 0.55, 0.5  # inches of the legend and the panels' names, and of the axis below
MARGIN, LABEL = 0.6, 1.45  # inches left of the curves, and of the pictures


@dataclass(frozen=True)
class BiasLine:
    """One curve: the mean of a label over its seeds.

    Attributes:
        label: Of the row.
        iterations: Of its points.
        mean, low, high: Percent at each point, over the seeds.
    """

    label: str
    iterations: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


def bias_info(course: DataFrame) -> list[BiasLine]:
    """Return a curve for each label of a table, as `dupl.report.run_comparison.courses` makes it."""
    return [
        BiasLine(str(label), *(part[name].tolist() for name in ("iteration", "mean", "low", "high")))
        for label, part in course.groupby("label", sort=False)
    ]


def choose_iterations(iterations: Sequence[int], count: int = PICTURES) -> list[int]:
    """Return at most `count` of some iterations, evenly spread, with the first and the last."""
    if len(iterations) <= count:
        return list(iterations)
    return [iterations[round(k * (len(iterations) - 1) / (count - 1))] for k in range(count)]


def bias_over_training(
    panels: Mapping[str, DataFrame],
    pictures: Mapping[str, Mapping[int, Picture]],
    path: str | Path,
    title: str,
    subtitle: str,
    notes: Sequence[str] = (),
) -> None:
    """Write curves of several runs side by side, and below them the CAM of one image over training.

    Args:
        panels: Tables of `courses` by the name of their metric; one panel of curves each.
        pictures: Pictures by label and iteration; empty for curves alone.
        path: The file: .png, .svg or .pdf.
        title: What is shown.
        subtitle: Data and protocol.
        notes: Lines below the figure.

    Raises:
        UserError: There is no curve.
    """
    lines = {name: bias_info(course) for name, course in panels.items()}
    if not any(lines.values()):
        raise UserError(f"no values to draw on {path}: none of the runs has {', '.join(panels) or 'a metric'}")
    strip = 0.35 + (SIDE + 0.08) * len(pictures) if pictures else 0.0
    below = strip + 0.2 * len(notes) + 0.15
    height = HEADING + ABOVE + PANEL + AXIS + below
    figure = blank_figure(WIDTH, height)
    width = (WIDTH - 0.15) / len(lines)
    for number, (name, found) in enumerate(lines.items()):
        bottom = (below + AXIS) / height
        room = (width - MARGIN - 0.15) / WIDTH
        axes = figure.add_axes(((number * width + MARGIN) / WIDTH, bottom, room, PANEL / height))
        _draw_curves(axes, found, name)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    place = (0.15 / WIDTH, 1 - (HEADING + 0.22) / height)
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=place, ncols=4, frameon=False, fontsize=9)
    _draw_pictures(figure, pictures, 0.2 * len(notes) + 0.1)
    add_heading(figure, title, subtitle)
    for number, note in enumerate(reversed(notes), 1):
        add_line(figure, note, height - 0.2 * number - 0.05, 8.5)
    save(figure, path)


def _draw_curves(axes: Axes, lines: Sequence[BiasLine], name: str) -> None:
    """Draw one panel: a line per label over a band from its lowest to its highest seed."""
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        style: dict[str, Any] = dict(linewidth=2, marker="o", markersize=3.5, linestyle="-" if number % 2 else "--")
        axes.plot(line.iterations, line.mean, color=colour, label=mathtext(line.label), zorder=3, **style)
        axes.fill_between(line.iterations, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
    style_axes(axes)
    axes.set_title(mathtext(name), loc="left", size=9.5, color=INK)
    axes.set_xlabel("iteration", color=FAINT, size=9)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if float(x).is_integer() else "")


def _draw_pictures(figure: Figure, pictures: Mapping[str, Mapping[int, Picture]], bottom: float) -> None:
    """Draw a strip of pictures for each label, the last label lowest, with their iterations above the first."""
    width, height = figure.get_size_inches()
    known = sorted({iteration for strip in pictures.values() for iteration in strip})
    shown = choose_iterations(known)
    for row, (label, strip) in enumerate(reversed(list(pictures.items()))):
        low = bottom + row * (SIDE + 0.08)
        text = figure.text(0.15 / width, (low + SIDE / 2) / height, mathtext(label), color=INK, size=9, va="center")
        text.set_wrap(True)
        for column, iteration in enumerate(shown):
            left = LABEL + 0.3 + column * (SIDE + 0.04)
            axes = figure.add_axes((left / width, low / height, SIDE / width, SIDE / height))
            axes.set_axis_off()
            if (picture := strip.get(iteration)) is not None:
                axes.imshow(picture)
            if row == len(pictures) - 1:
                axes.set_title(f"{iteration:,}", size=8.5, color=FAINT, pad=3)
