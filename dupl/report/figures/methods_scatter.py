"""Segmentation over CAM pseudo-labels, a point per method, in a file (the paper's Fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.report.figures.colours import FAINT, FILE_HUES, FILE_STUDENTS, INK, RGB
from dupl.report.figures.matplotlib_theme import HEADING, add_heading, add_line, blank_figure, save, style_axes
from dupl.report.symbols import mathtext

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES: dict[str, tuple[RGB, str]] = {  # colour and marker of a kind of point
    "ours": (FILE_STUDENTS[2], "*"),
    "DuPL, as published": (FILE_STUDENTS[1], "*"),
    "one-stage, as published": (FILE_STUDENTS[1], "o"),
    "multi-stage, as published": (FILE_HUES[0], "s"),
}


@dataclass(frozen=True)
class MethodPoint:
    """A method in the figure.

    Attributes:
        label: What stands beside the point.
        cam, seg: mIoU in percent of the CAM pseudo-labels and of the segmentation.
        kind: A key of `STYLES`.
        cam_spread, seg_spread: Standard deviation over seeds; 0 for one seed.
    """

    label: str
    cam: float
    seg: float
    kind: str
    cam_spread: float = 0.0
    seg_spread: float = 0.0


# CAM on VOC train from Table 1 of the paper, segmentation on VOC val from its Table 2.
PUBLISHED = (
    MethodPoint("PPC + PSA", 73.3, 72.6, "multi-stage, as published"),
    MethodPoint("ACR + IRN", 72.3, 71.9, "multi-stage, as published"),
    MethodPoint("1Stage", 66.9, 62.7, "one-stage, as published"),
    MethodPoint("AFA", 68.7, 66.0, "one-stage, as published"),
    MethodPoint("ToCo", 72.2, 69.8, "one-stage, as published"),
    MethodPoint("DuPL", 75.1, 72.2, "DuPL, as published"),
    MethodPoint("DuPL (ImageNet-21k)", 76.0, 73.3, "DuPL, as published"),
)


def scatter_info(points: Sequence[MethodPoint]) -> dict[str, list[MethodPoint]]:
    """Return the points by kind, in the order of `STYLES`, without the kinds that have none."""
    found = {kind: [point for point in points if point.kind == kind] for kind in STYLES}
    return {kind: members for kind, members in found.items() if members}


def methods_scatter(
    points: Sequence[MethodPoint],
    path: str | Path,
    title: str,
    subtitle: str,
    xlabel: str,
    ylabel: str,
    notes: Sequence[str] = (),
) -> None:
    """Write methods as a scatter plot, each named beside its point; bars show the standard deviation over seeds.

    Args:
        points: The methods.
        path: The file: .png, .svg or .pdf.
        title: What is shown.
        subtitle: Where the numbers come from.
        xlabel: What the CAM axis shows, with split and protocol.
        ylabel: What the segmentation axis shows.
        notes: Lines below the axes.

    Raises:
        UserError: There is no point.
    """
    if not points:
        raise UserError(f"no method to draw on {path}")
    height = 5.0 + 0.2 * len(notes)
    figure = blank_figure(7, height)
    below = 0.75 + 0.2 * len(notes)
    axes = figure.add_axes((0.1, below / height, 0.86, 1 - (below + HEADING + 0.2) / height))
    low, high = min(point.cam for point in points), max(point.cam for point in points)
    for kind, members in scatter_info(points).items():
        _draw_points(axes, members, kind, low + 0.8 * (high - low) if high > low else high + 1)
    axes.margins(0.12)
    style_axes(axes)
    axes.grid(axis="x", color="#ececec", linewidth=0.8)
    axes.set_xlabel(xlabel, color=FAINT)
    axes.set_ylabel(ylabel, color=FAINT)
    axes.legend(loc="lower right", bbox_to_anchor=(1.01, 1.0), ncols=4, frameon=False, fontsize=8.5)
    add_heading(figure, title, subtitle)
    for number, note in enumerate(reversed(notes), 1):
        add_line(figure, note, height - 0.2 * number - 0.05, 8.5)
    save(figure, path)


def _draw_points(axes: Axes, points: Sequence[MethodPoint], kind: str, rightmost: float) -> None:
    """Draw the points of one kind with their names, which are left of a point from `rightmost` on."""
    colour, marker = STYLES[kind]
    below, left = kind == "ours", kind.startswith("multi-stage")
    for point in points:
        before = left or point.cam >= rightmost
        bars: dict[str, Any] = dict(xerr=point.cam_spread or None, yerr=point.seg_spread or None)
        if any(bars.values()):
            axes.errorbar(point.cam, point.seg, **bars, fmt="none", ecolor=colour, elinewidth=1, capsize=2.5)
        axes.annotate(
            mathtext(point.label),
            (point.cam, point.seg),
            xytext=(-7 if before else 7, -14 if below else 5),
            ha="right" if before else "left",
            textcoords="offset points",
            size=9,
            color=INK,
        )
    places = [point.cam for point in points], [point.seg for point in points]
    axes.scatter(*places, s=130 if marker == "*" else 42, marker=marker, color=[colour], label=kind, zorder=3)
