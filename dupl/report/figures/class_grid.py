"""Small line charts side by side, one per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dupl.report.figures.chart import HEADING, blank, colour_of, head, save
from dupl.report.figures.curves import CROWDED, FAINT, INK, LINE

ACROSS = 5  # charts of a row
CELL = (2.2, 1.65)  # inches
STYLES = ("-", (0, (2, 1.5)), ":")
Points = Sequence[tuple[float, float]]  # iteration and percent


def class_grid(
    lines: Mapping[str, Mapping[tuple[str, str], Points]], path: str | Path, title: str, subtitle: str
) -> None:
    """Write a PNG with a chart per class, all on the same axes: a hue is a student, a dash pattern is a measure.

    Args:
        lines: By class, and by whose they are ("student 1") and what they measure ("precision"); a class without any
            point is left out, and so is a line.
        path: The file.
        title: What is shown.
        subtitle: What else to know.
    """
    from matplotlib.lines import Line2D

    shown = {name: own for name, own in lines.items() if any(own.values())}
    keys = list(dict.fromkeys(key for own in shown.values() for key, points in own.items() if points))
    whose, measures = (list(dict.fromkeys(key[k] for key in keys)) for k in (0, 1))
    across = min(ACROSS, max(3, len(shown)))
    down = -(-len(shown) // across)
    width, height = 0.5 + CELL[0] * across, HEADING + 0.35 + CELL[1] * down + 0.25
    figure = blank(width, height)
    xs = [x for own in shown.values() for points in own.values() for x, _ in points]
    for number, (name, own) in enumerate(shown.items()):
        row, column = divmod(number, across)
        left, top = 0.5 + CELL[0] * column, HEADING + 0.35 + CELL[1] * row
        box = (left / width, 1 - (top + CELL[1] - 0.35) / height, (CELL[0] - 0.2) / width, (CELL[1] - 0.65) / height)
        axes = figure.add_axes(box)
        for (who, what), points in ((key, points) for key, points in own.items() if points):
            few = "o" if len(points) < CROWDED / 4 else None
            style = STYLES[measures.index(what) % len(STYLES)]
            (line,) = axes.plot(*zip(*points, strict=True), color=colour_of(who, whose.index(who)), clip_on=False)
            line.set(linestyle=style, linewidth=1.6, marker=few, markersize=2.5)
        axes.set_title(name, loc="left", size=9.5, color=INK, parse_math=False, pad=4)
        axes.set_xlim(0, max(xs))
        axes.set_xticks([0, max(xs) / 2, max(xs)], ["0", "", f"{max(xs):,g}"])
        for label, side in zip(axes.get_xticklabels(), ("left", "center", "right"), strict=True):
            label.set(horizontalalignment=side)
        axes.set_ylim(-3, 103)
        axes.set_yticks([0, 50, 100])
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(colors=FAINT, length=0, labelsize=7.5)
        axes.tick_params(labelleft=column == 0, labelbottom=number + across >= len(shown))
    entries = [Line2D([], [], color=colour_of(who, k), linewidth=4, label=who) for k, who in enumerate(whose)]
    for k, what in enumerate(measures):
        entries.append(Line2D([], [], color=INK, label=what))
        entries[-1].set(linestyle=STYLES[k % len(STYLES)])
    place = (0.1 / width, 1 - (HEADING - 0.1) / height)
    legend = figure.legend(handles=entries, ncols=len(entries), loc="upper left", bbox_to_anchor=place, frameon=False)
    for text in legend.get_texts():
        text.set_fontsize(9)
    head(figure, title, subtitle)
    save(figure, path)
