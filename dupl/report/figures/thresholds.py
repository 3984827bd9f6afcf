"""Quality of CAMs over the threshold as a line chart in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dupl.report.figures.colours import FAINT, INK, file_colour
from dupl.report.figures.matplotlib_theme import (
    HEADING,
    add_heading,
    blank_figure,
    save,
    spread_labels,
    style_axes,
)


@dataclass(frozen=True)
class BestPoint:
    """The threshold at which a line is highest, and its value there."""

    threshold: float
    value: float


def threshold_info(thresholds: Sequence[float], lines: Mapping[str, Sequence[float]]) -> dict[str, BestPoint]:
    """Return the best point of each line; arguments as of `threshold_picture`."""
    best = {}
    for label, values in lines.items():
        place = max(range(len(values)), key=lambda i: values[i])
        best[label] = BestPoint(thresholds[place], values[place])
    return best


def threshold_picture(
    thresholds: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    path: str | Path,
    title: str,
    subtitle: str,
    ylabel: str,
    chosen: float,
) -> None:
    """Write a score over thresholds as a figure; the best point of each line is marked and named beside it.

    Args:
        thresholds: Ascending, in [0, 1].
        lines: Percent at each threshold, by label, such as "CAM, student 1".
        path: The file: .png, .svg or .pdf.
        title: What is shown.
        subtitle: The protocol.
        ylabel: What the values are.
        chosen: The protocol's threshold, drawn as a dashed line.
    """
    figure, best = blank_figure(9, 4.8), threshold_info(thresholds, lines)
    axes = figure.add_axes((0.08, 0.12, 0.6, 1 - 0.12 - (HEADING + 0.1) / 4.8))
    axes.set_xlim(0, 1)
    colours = {label: file_colour(label, number) for number, label in enumerate(lines)}
    for label, values in lines.items():
        axes.plot(thresholds, values, color=colours[label], linewidth=2)
        axes.plot(best[label].threshold, best[label].value, "o", color=colours[label], markersize=7, zorder=4)
    axes.axvline(chosen, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(chosen + 0.01, 0.02, f"protocol: {chosen:g}", transform=axes.get_xaxis_transform(), color=INK, size=9)
    low, high = axes.get_ylim()
    ordered = sorted(best.items(), key=lambda item: item[1].value)
    places = spread_labels([(point.value - low) / (high - low) for _, point in ordered], 0.07)
    for (label, point), place in zip(ordered, places, strict=True):
        text = f"{label}: best {point.value:.1f} at {point.threshold:g}"
        axes.text(1.02, place, text, transform=axes.transAxes, color=colours[label], va="center", size=10)
    axes.set_xlabel("threshold on the CAM", color=FAINT)
    axes.set_ylabel(ylabel, color=FAINT, parse_math=False)
    style_axes(axes)
    add_heading(figure, title, subtitle)
    save(figure, path)
