"""Metrics over training as a figure in a file, each line labelled at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.report.figures.colours import FAINT, FILE_HUES, FILE_STUDENTS, INK, LINE, RGB
from dupl.report.figures.matplotlib_theme import blank_figure, save, spread_labels
from dupl.report.figures.training_curves import CROWDED, Series, series_info

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def curve(
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    path: str | Path,
    title: str,
    ylabel: str,
    markers: Mapping[str, int] | None = None,
) -> None:
    """Write metrics over iterations as a figure, each line labelled at its end.

    Student 1 is blue and solid, student 2 orange and dashed; a line of neither has another hue. Metrics of one student
    differ by marker and lightness. Lines without any value are named below the axes.

    Args:
        rows: As `series_info` takes them.
        names: Key of each line by its label.
        path: The file: .png, .svg or .pdf.
        title: The heading.
        ylabel: What the values are, with their unit.
        markers: Iterations to mark by a dashed vertical line, by what starts there.

    Raises:
        UserError: No row has a value of any of the keys.
    """
    found = series_info(rows, names)
    drawn = [line for line in found if line.points]
    if not drawn:
        keys = ", ".join(names.values()) or "no key given"
        raise UserError(f"no values to draw on {path}: none of the {len(rows)} rows has {keys}")

    figure = blank_figure(9, 5, dpi=200)
    axes = figure.add_axes((0.085, 0.13, 0.7, 0.7))
    last = max(x for line in drawn for x, _ in line.points)
    axes.set_xlim(0, max(last, *(markers or {}).values(), 1))
    for line in drawn:
        _draw(axes, line)
    _style(axes, ylabel)
    beside = _label_lines(axes, drawn)
    axes.set_position((0.085, 0.13, max(0.3, 0.875 - beside), 0.77))
    levels = _add_markers(axes, markers or {})
    axes.set_position((0.085, 0.13, max(0.3, 0.875 - beside), 0.77 - 0.042 * levels))
    heading = figure.text(0.02, 0.945, title, color=INK, weight="bold", size=12.5, parse_math=False)
    heading.set_fontsize(12.5 * min(1.0, 0.96 * figure.bbox.width / heading.get_window_extent().width))
    missing = [line.label for line in found if not line.points]
    if missing:
        note = f"No values: {', '.join(missing)}"
        figure.text(0.02, 0.015, note, color=FAINT, size=8.5, parse_math=False)
    save(figure, path)


def _colour(line: Series) -> RGB:
    """Return a student's colour, lighter from metric to metric; other lines have a hue each."""
    if line.student not in FILE_STUDENTS:
        return FILE_HUES[line.family % len(FILE_HUES)]
    white = (0.0, 0.28, 0.45)[min(line.family, 2)]
    red, green, blue = (value + white * (1 - value) for value in FILE_STUDENTS[line.student])
    return red, green, blue


def _draw(axes: Axes, line: Series) -> None:
    """Draw one line, without its label."""
    alone = len(line.points) == 1
    axes.plot(
        [x for x, _ in line.points],
        [y for _, y in line.points],
        linestyle="--" if line.student == 2 else "-",
        color=_colour(line),
        linewidth=2,
        marker=MARKERS[line.family % len(MARKERS)] if alone or len(line.points) < CROWDED else None,
        markersize=5.5,
        markerfacecolor=_colour(line) if line.family % 2 == 0 else "white",
        markeredgecolor=_colour(line),
        zorder=3,
        clip_on=False,
    )


def _style(axes: Axes, ylabel: str) -> None:
    """Style the axes, the grid and their labels, and fix the vertical range."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors=FAINT, labelsize=9, length=3)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("iteration", color=FAINT, size=10)
    axes.set_ylabel(ylabel, color=FAINT, size=10, parse_math=False)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))  # fixed from here on
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if float(x).is_integer() else f"{x:g}")


def _add_markers(axes: Axes, markers: Mapping[str, int]) -> int:
    """Draw the marked iterations with names above the axes; return how many lines of text the names take.

    A name is right of its line, or left of it where there is no room. From right to left, each name goes above those
    that it would overlap, so that no line crosses a name.
    """
    from matplotlib.lines import Line2D

    box, right = axes.get_window_extent(), axes.get_xlim()[1]
    starts: list[float] = []  # where each level of names begins, in pixels
    for name, iteration in sorted(markers.items(), key=lambda item: -item[1]):
        place = axes.get_xaxis_transform()
        text = axes.text(iteration, 1, name, transform=place, color=INK, size=9, parse_math=False)
        wide, left = text.get_window_extent().width, box.x0 + box.width * iteration / right
        turned = left + wide > box.x1
        left = left - wide if turned else left
        level = next((i for i, start in enumerate(starts) if left + wide + 14 < start), len(starts))
        starts[level : level + 1] = [left]
        top = 1.015 + 0.055 * level
        text.set(y=top, ha="right" if turned else "left", va="bottom")
        height = top + 0.045
        dashed = Line2D([iteration] * 2, [0, height], transform=place, color=FAINT, lw=1, ls=(0, (4, 3)))
        axes.add_artist(dashed).set_clip_on(False)
        text.set_x(iteration + (-1 if turned else 1) * 0.006 * right)
    return len(starts)


def _label_lines(axes: Axes, lines: Sequence[Series]) -> float:
    """Write label and last value of each line right of the axes; return the width they take, of the figure's."""
    from matplotlib.lines import Line2D

    low, high = axes.get_ylim()

    def height(line: Series) -> float:
        return float((line.points[-1][1] - low) / (high - low))

    ordered = sorted(lines, key=height)
    places = spread_labels([height(line) for line in ordered], 0.056)
    largest = max(abs(line.points[-1][1]) for line in lines)
    digits = 1 if largest >= 10 else 3
    widths = []
    for line, place in zip(ordered, places, strict=True):
        x, y = line.points[-1]
        ends = [x / axes.get_xlim()[1] + 0.012, 1.035], [height(line), place]
        lead = Line2D(*ends, transform=axes.transAxes, color=_colour(line), lw=1, ls=":", clip_on=False)
        axes.add_artist(lead)
        text = axes.text(1.042, place, f"{line.label}  {y:.{digits}f}", transform=axes.transAxes)
        text.set(color=_colour(line), va="center", size=10, parse_math=False)
        widths.append(text.get_window_extent().width)
    return max(widths) / axes.figure.bbox.width + 0.035
