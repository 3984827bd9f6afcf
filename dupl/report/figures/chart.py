"""What charts share: a heading of two lines, and a PNG that is whole or absent."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.atomic import atomic_write
from dupl.report.figures.curves import FAINT, HUES, INK, STUDENTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADING = 0.75  # inches of a figure's top that the heading takes


def blank(width: float, height: float, dpi: int = 150) -> Figure:
    """Return an empty figure of a size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def write(line: str, figure: Figure, top: float, size: float, bold: bool = False) -> None:
    """Write one line at the left, `top` inches below the upper edge; a long one in smaller letters."""
    width, height = figure.get_size_inches()
    weight = "bold" if bold else "normal"
    text = figure.text(0.15 / width, 1 - top / height, line, color=INK if bold else FAINT, weight=weight, va="top")
    text.set(fontsize=size, parse_math=False)
    room = figure.bbox.width * (1 - 0.3 / width)
    while text.get_window_extent().width > room and size > 2:  # letters do not shrink evenly
        size *= 0.95
        text.set_fontsize(size)


def head(figure: Figure, title: str, subtitle: str) -> None:
    """Write the heading: what is shown, and below it by which protocol."""
    write(title, figure, 0.15, 11.5, bold=True)
    write(subtitle, figure, 0.42, 9)


def save(figure: Figure, path: str | Path) -> None:
    """Write the figure as a PNG, the same bytes for the same figure."""
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    atomic_write(path, data.getvalue())


def colour_of(label: str, number: int) -> tuple[float, float, float]:
    """Return a student's hue where a label ends with its number, else one of its own."""
    last = label.rsplit(" ", 1)[-1]
    return STUDENTS[int(last)][0] if last in ("1", "2") else HUES[number % len(HUES)]
