"""The look of figures in files: an empty figure, a heading of two lines, and files that are whole or absent."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.atomic import atomic_write
from dupl.errors import UserError
from dupl.report.figures.colours import FAINT, INK, LINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADING = 0.75  # inches of a figure's top that the heading takes
# Without the date and the version, so that the same figure gives the same bytes.
METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Producer": None},
}


def blank_figure(width: float, height: float, dpi: int = 150) -> Figure:
    """Return an empty figure of a size in inches; it touches no global state of matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, labelsize: float = 9, colour: str = FAINT) -> None:
    """Give axes horizontal grid lines behind the data, a bottom line only, and labels without ticks."""
    axes.tick_params(colors=colour, length=0, labelsize=labelsize)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def add_line(figure: Figure, text: str, top: float, size: float, bold: bool = False) -> None:
    """Write one line of text at the left, `top` inches below the upper edge; a long one in smaller letters."""
    width, height = figure.get_size_inches()
    weight = "bold" if bold else "normal"
    line = figure.text(0.15 / width, 1 - top / height, text, color=INK if bold else FAINT, weight=weight, va="top")
    line.set(fontsize=size, parse_math=False)
    room = figure.bbox.width * (1 - 0.3 / width)
    while line.get_window_extent().width > room and size > 2:  # the width of letters does not shrink evenly
        size *= 0.95
        line.set_fontsize(size)


def add_heading(figure: Figure, title: str, subtitle: str) -> None:
    """Write the heading: what is shown, and below it the protocol."""
    add_line(figure, title, 0.15, 11.5, bold=True)
    add_line(figure, subtitle, 0.42, 9)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, SVG or PDF, by the ending of the path; the same figure gives the same bytes.

    Raises:
        UserError: The path ends otherwise.
    """
    import matplotlib

    form = Path(path).suffix.removeprefix(".").lower()
    if form not in METADATA:
        raise UserError(f"{path}: a figure is written as .png, .svg or .pdf")
    data = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "dupl"}) if form == "svg" else nullcontext():
        figure.savefig(data, format=form, metadata=METADATA[form])
    atomic_write(path, data.getvalue())


def spread_labels(heights: Sequence[float], apart: float) -> list[float]:
    """Return the heights of labels moved as little as needed to keep them apart.

    Args:
        heights: Wanted heights, ascending.
        apart: Smallest distance of two labels.
    """
    piles: list[list[float]] = []  # the wanted heights of labels that touch each other
    for height in heights:
        piles.append([height])
        while len(piles) > 1 and _bottom(piles[-1], apart) < _bottom(piles[-2], apart) + apart * len(piles[-2]):
            piles[-2:] = [piles[-2] + piles[-1]]
    return [_bottom(pile, apart) + i * apart for pile in piles for i in range(len(pile))]


def _bottom(pile: Sequence[float], apart: float) -> float:
    """Return the lowest height of labels that touch and are centred on the mean of their wanted heights."""
    return sum(pile) / len(pile) - apart * (len(pile) - 1) / 2
