"""The grids of a table as a template takes them: each cell with its class, its footnotes and its interval."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from dupl.report.tables.layout import Document, Grid, Text
from dupl.report.tables.statistics import Estimate

WIDTH, EDGE = 120, 4  # of the drawing of an interval, in pixels


@dataclass(frozen=True)
class Whisker:
    """A drawn interval, as horizontal positions in pixels.

    Attributes:
        zero: Of the line at zero.
        low, high: Ends of the interval.
        value: Of its dot.
        seeds: Of the dots of the single seeds.
    """

    zero: float
    low: float
    high: float
    value: float
    seeds: list[float]


@dataclass(frozen=True)
class CellView:
    """A cell.

    Attributes:
        text: Plain text.
        notes: Letters of its footnotes.
        css: Its CSS classes.
        whisker: The interval beside the text; None where there is none.
    """

    text: str
    notes: tuple[str, ...] = ()
    css: str = ""
    whisker: Whisker | None = None


@dataclass(frozen=True)
class GridView:
    """A table under a header of two lines.

    Attributes:
        title: Plain text; "" for none.
        groups: Label with its footnotes, protocol and number of columns, in order.
        header: The cells of the second header line.
        rows: Cells; the first of a row is its label.
    """

    title: str
    groups: list[tuple[CellView, str, int]]
    header: list[CellView]
    rows: list[list[CellView]]


def grid_views(document: Document) -> list[GridView]:
    """Return the views of all grids of a document."""
    return [grid_view(grid) for grid in document.grids]


def grid_view(grid: Grid) -> GridView:
    """Return the view of a grid; all its intervals are drawn to the same scale."""
    estimates = [cell.estimate for row in grid.rows for cell in row if cell.estimate is not None]
    ends = [0.0, *(end for e in estimates for end in (e.low, e.high, *e.values))]
    starts = set(itertools.accumulate(count for _, _, count in grid.groups[:-1]))
    classes = [_css(grid, column, starts) for column in range(len(grid.header))]
    groups = [
        (CellView(label, letters, "first" if k else ""), how, count)
        for k, ((label, how, count), letters) in enumerate(zip(grid.groups, grid.letters, strict=True))
    ]
    header = [CellView(name, css=css) for name, css in zip(grid.header, classes, strict=True)]
    rows = [
        [_cell(cell, css, min(ends), max(ends)) for cell, css in zip(row, classes, strict=True)] for row in grid.rows
    ]
    return GridView(grid.title, groups, header, rows)


def _css(grid: Grid, column: int, starts: set[int]) -> str:
    """Return the CSS class of a column: of check marks, of text, the first of a group, or of numbers."""
    if 1 <= column <= grid.marks:
        return "mark"
    return "left" if column < grid.groups[0][2] else "first" if column in starts else "figure"


def _cell(cell: Text, css: str, low: float, high: float) -> CellView:
    whisker = None if cell.estimate is None else _whisker(cell.estimate, low, high)
    return CellView(cell.text, cell.notes, f"{css} strong" if cell.strong else css, whisker)


def _whisker(estimate: Estimate, low: float, high: float) -> Whisker:
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (value - low) / span, 1)

    return Whisker(x(0), x(estimate.low), x(estimate.high), x(estimate.value), list(map(x, estimate.values)))
