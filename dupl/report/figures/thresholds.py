"""Quality of CAMs over the threshold as a line chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dupl.report.figures.chart import HEADING, blank, colour_of, head, save
from dupl.report.figures.curves import FAINT, INK, LINE, spread


def threshold_picture(
    thresholds: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    path: str | Path,
    title: str,
    subtitle: str,
    ylabel: str,
    chosen: float,
) -> None:
    """Write a PNG of a score over thresholds; each line's best point is marked, and stated beside it.

    Args:
        thresholds: Ascending, in [0, 1].
        lines: Percent at each threshold, by what stands beside the line, such as "CAM, student 1".
        path: The file.
        title: What is shown.
        subtitle: The protocol.
        ylabel: What the values are.
        chosen: The protocol's threshold, drawn as a dashed line.
    """
    figure = blank(9, 4.8)
    axes = figure.add_axes((0.08, 0.12, 0.6, 1 - 0.12 - (HEADING + 0.1) / 4.8))
    axes.set_xlim(0, 1)
    best = {label: max(range(len(values)), key=lambda i: values[i]) for label, values in lines.items()}
    colours = {label: colour_of(label, number) for number, label in enumerate(lines)}
    for label, values in lines.items():
        axes.plot(thresholds, values, color=colours[label], linewidth=2)
        axes.plot(thresholds[best[label]], values[best[label]], "o", color=colours[label], markersize=7, zorder=4)
    axes.axvline(chosen, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(chosen + 0.01, 0.02, f"protocol: {chosen:g}", transform=axes.get_xaxis_transform(), color=INK, size=9)
    low, high = axes.get_ylim()
    ordered = sorted(lines, key=lambda label: lines[label][best[label]])
    places = spread([(lines[label][best[label]] - low) / (high - low) for label in ordered], 0.07)
    for label, place in zip(ordered, places, strict=True):
        text = f"{label}: best {lines[label][best[label]]:.1f} at {thresholds[best[label]]:g}"
        axes.text(1.02, place, text, transform=axes.transAxes, color=colours[label], va="center", size=10)
    axes.set_xlabel("threshold on the CAM", color=FAINT)
    axes.set_ylabel(ylabel, color=FAINT, parse_math=False)
    axes.tick_params(colors=FAINT, length=0, labelsize=9)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    head(figure, title, subtitle)
    save(figure, path)
