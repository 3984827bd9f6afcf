"""Line charts of metrics over training."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dupl.atomic import atomic_write
from dupl.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, LINE = "#191919", "#5f5f5f", "#dcdcdc"
STUDENTS = {1: ((0.07, 0.32, 0.66), "-"), 2: ((0.80, 0.28, 0.04), "--")}
HUES = ((0.25, 0.25, 0.25), (0.10, 0.48, 0.34), (0.47, 0.24, 0.62), (0.62, 0.45, 0.05), (0.70, 0.20, 0.40))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
CROWDED = 40  # points of a line from which on they get no markers


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        label: What stands beside it.
        student: 1, 2, ..., as the key says ("cam/1/mIoU"); 0: of no single student.
        family: Number of the metric among those drawn, students apart.
        points: Iteration and value, by iteration.
    """

    label: str
    student: int
    family: int
    points: tuple[tuple[float, float], ...]


def curve(
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    path: str | Path,
    title: str,
    ylabel: str,
    marks: Mapping[str, int] | None = None,
) -> None:
    """Write a PNG of metrics over iteration, each line labelled at its end.

    A hue is a student: blue and solid the first, orange and dashed the second; a line of neither has a hue of
    its own. Metrics of one student differ by marker and lightness. Lines without any value are named below.

    Args:
        rows: Values by key, as in scalars.jsonl; "iter" is the iteration. Values that are missing, None or
            not finite leave no point; keys may stand in some rows only.
        names: Key of each line by its label.
        path: The file.
        title: The heading.
        ylabel: What the values are, with their unit.
        marks: Iterations to mark by a dashed vertical line, by what happens there.

    Raises:
        UserError: No row has a value of any of the keys.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = series(rows, names)
    drawn = [line for line in found if line.points]
    if not drawn:
        keys = ", ".join(names.values()) or "no key given"
        raise UserError(f"no values to draw on {path}: none of the {len(rows)} rows has {keys}")

    figure = Figure(figsize=(9, 5), dpi=200, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.085, 0.13, 0.7, 0.7))
    last = max(x for line in drawn for x, _ in line.points)
    axes.set_xlim(0, max(last, *(marks or {}).values(), 1))
    for line in drawn:
        _draw(axes, line)
    _dress(axes, ylabel)
    beside = _label(axes, drawn)
    axes.set_position((0.085, 0.13, max(0.3, 0.875 - beside), 0.77))
    levels = _mark(axes, marks or {})
    axes.set_position((0.085, 0.13, max(0.3, 0.875 - beside), 0.77 - 0.042 * levels))
    heading = figure.text(0.02, 0.945, title, color=INK, weight="bold", size=12.5, parse_math=False)
    heading.set_fontsize(12.5 * min(1.0, 0.96 * figure.bbox.width / heading.get_window_extent().width))
    missing = [line.label for line in found if not line.points]
    if missing:
        note = f"No values: {', '.join(missing)}"
        figure.text(0.02, 0.015, note, color=FAINT, size=8.5, parse_math=False)

    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=200, metadata={"Software": None})
    atomic_write(path, data.getvalue())


def series(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[Series]:
    """Return the lines of a chart, also those without any point, in the order of their names.

    Args:
        rows: As in `curve`.
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
    """Whether a value can be drawn, in percent too, which one at the end of floating point cannot."""
    return isinstance(value, Real) and abs(cast(float, value)) <= sys.float_info.max / 100


def _colour(line: Series) -> tuple[float, float, float]:
    """Return a student's hue, lighter from metric to metric; other lines have a hue each."""
    if line.student not in STUDENTS:
        return HUES[line.family % len(HUES)]
    red, green, blue = STUDENTS[line.student][0]
    white = (0.0, 0.28, 0.45)[min(line.family, 2)]
    return red + white * (1 - red), green + white * (1 - green), blue + white * (1 - blue)


def _draw(axes: Axes, line: Series) -> None:
    """Draw one line, without its label."""
    alone = len(line.points) == 1
    axes.plot(
        [x for x, _ in line.points],
        [y for _, y in line.points],
        linestyle=STUDENTS.get(line.student, (None, "-"))[1],
        color=_colour(line),
        linewidth=2,
        marker=MARKERS[line.family % len(MARKERS)] if alone or len(line.points) < CROWDED else None,
        markersize=5.5,
        markerfacecolor=_colour(line) if line.family % 2 == 0 else "white",
        markeredgecolor=_colour(line),
        zorder=3,
        clip_on=False,
    )


def _dress(axes: Axes, ylabel: str) -> None:
    """Set what is not data: axes, grid and their labels."""
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


def _mark(axes: Axes, marks: Mapping[str, int]) -> int:
    """Draw the marked iterations, names above the axes; return how many lines of text those take.

    A name stands right of its line, the last ones left of it where there is no room; from right to left, each
    goes above those it would overlap, so that no line crosses a name.
    """
    from matplotlib.lines import Line2D

    box, right = axes.get_window_extent(), axes.get_xlim()[1]
    starts: list[float] = []  # where each level of names begins, in pixels
    for name, iteration in sorted(marks.items(), key=lambda item: -item[1]):
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


def _label(axes: Axes, lines: Sequence[Series]) -> float:
    """Write each line's label and last value right of the axes; return the widest in widths of the figure."""
    from matplotlib.lines import Line2D

    low, high = axes.get_ylim()

    def height(line: Series) -> float:
        return float((line.points[-1][1] - low) / (high - low))

    ordered = sorted(lines, key=height)
    places = spread([height(line) for line in ordered], 0.056)
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


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """Return ascending heights moved as little as needed to lie `apart`, each pile about its own middle.

    Args:
        heights: Where labels would like to be, ascending.
        apart: Smallest distance of two of them.
    """
    piles: list[list[float]] = []  # each the heights of labels that touch
    for height in heights:
        piles.append([height])
        while len(piles) > 1 and _bottom(piles[-1], apart) < _bottom(piles[-2], apart) + apart * len(piles[-2]):
            piles[-2:] = [piles[-2] + piles[-1]]
    return [_bottom(pile, apart) + i * apart for pile in piles for i in range(len(pile))]


def _bottom(pile: Sequence[float], apart: float) -> float:
    """Return the lowest place of a pile that is spread about its mean."""
    return sum(pile) / len(pile) - apart * (len(pile) - 1) / 2
