"""Probability of showing a difference as curves over its size, in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dupl.report.figures.colours import FAINT, INK, file_colour
from dupl.report.figures.matplotlib_theme import HEADING, add_heading, blank_figure, save, spread_labels, style_axes
from dupl.report.tables.power import ALPHA, POWER, Spread, probability, smallest_change

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 81  # of a curve


def power_info(
    spread: Spread, seeds: Sequence[int], alpha: float = ALPHA
) -> tuple[list[float], dict[int, list[float]]]:
    """Return differences from 0 on, and for each number of seeds the probability of p < alpha at each, in percent."""
    ends = [smallest_change(spread, number, alpha, POWER) or 0.0 for number in seeds]
    differences = list(map(float, np.linspace(0, 1.25 * max(ends) or 1.0, POINTS)))
    return differences, {n: [100 * probability(spread, n, d, alpha) for d in differences] for n in seeds}


def power_picture(
    spreads: Mapping[str, Spread],
    seeds: Sequence[int],
    path: str | Path,
    title: str,
    subtitle: str,
    marks: Mapping[str, Sequence[tuple[str, float]]],
    power: float = POWER,
) -> None:
    """Write a panel for each column, with a curve for each number of seeds.

    Args:
        spreads: By the column's label.
        seeds: Numbers of seeds.
        path: The file: .png, .svg or .pdf.
        title: What is shown.
        subtitle: The rule.
        marks: Labels and sizes of differences to mark, by the column's label.
        power: Probability that is drawn as a dashed line.
    """
    width, height = 0.3 + 4.6 * len(spreads), 4.6
    figure = blank_figure(width, height)
    for place, (label, spread) in enumerate(spreads.items()):
        left = (0.75 + 4.6 * place) / width
        axes = figure.add_axes((left, 0.13, 3.1 / width, 1 - 0.13 - (HEADING + 0.35) / height))
        differences, curves = power_info(spread, seeds)
        colours = {number: file_colour(str(number), k) for k, number in enumerate(curves)}
        for number, values in curves.items():
            axes.plot(differences, values, color=colours[number], linewidth=2)
        ordered = sorted(curves.items(), key=lambda item: item[1][-1])
        for (number, _), at in zip(ordered, spread_labels([v[-1] / 100 for _, v in ordered], 0.07), strict=True):
            axes.text(1.02, at, f"{number} seeds", transform=axes.transAxes, color=colours[number], va="center", size=9)
        axes.axhline(100 * power, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        _mark(axes, marks.get(label, ()), differences[-1])
        axes.set(xlim=(0, differences[-1]), ylim=(0, 100))
        axes.set_xlabel("true difference (points)", color=FAINT)
        axes.set_ylabel("probability of p < 0.05 (%)" if place == 0 else "", color=FAINT)
        axes.set_title(label, loc="left", color=INK, size=10, parse_math=False)
        style_axes(axes)
    add_heading(figure, title, subtitle)
    save(figure, path)


def _mark(axes: Axes, marks: Sequence[tuple[str, float]], most: float) -> None:
    """Mark differences on the horizontal axis, with their labels written upwards; equal ones share a mark."""
    labels: dict[str, list[str]] = {}
    for label, change in marks:
        if abs(change) <= most:
            labels.setdefault(f"{change:+.1f}".replace("-", "−"), []).append(label)
    for text, names in labels.items():
        place = abs(float(text.replace("−", "-")))
        axes.axvline(place, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
        words = f"{', '.join(names)}  {text}"
        box = dict(facecolor="white", edgecolor="none", pad=0.6, alpha=0.85)
        name = axes.text(place, 2, words, rotation=90, va="bottom", ha="right", size=7.5, color=INK, parse_math=False)
        name.set(bbox=box, zorder=5)
