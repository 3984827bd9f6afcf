"""Print a table on a terminal, with rich."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table as RichTable
from rich.text import Text as RichText

from dupl.report.tables.layout import Document, Grid, Text
from dupl.terminal import printable

if TYPE_CHECKING:
    from rich.console import RenderableType


def terminal(document: Document) -> Iterator[RenderableType]:
    """Yield what a rich console prints of a table: title, grids, footnotes, notes and provenance."""
    yield RichText(printable(document.title), style="bold")
    for grid in document.grids:
        yield RichText()
        yield _grid(grid)
    lines = [f"[{key}] {text}" for key, text in document.footnotes]
    lines += [f"{label}: {what}" for label, what in document.measures]
    lines += [*document.notes, *(f"{name}: {value}" for name, value in document.provenance)]
    yield RichText()
    yield RichText("\n".join(map(printable, lines)), style="dim")


def _grid(grid: Grid) -> RichTable:
    """Return a grid; the name of each group stands above the first of its columns."""
    table = RichTable(title=printable(grid.title) or None, title_justify="left", box=None, pad_edge=False)
    owners = [
        Text(label, letters) if k == 0 else Text("")
        for (label, _, count), letters in zip(grid.groups, grid.letters, strict=True)
        for k in range(count)
    ]
    for k, (owner, name) in enumerate(zip(owners, grid.header, strict=True)):
        side = "left" if k == 0 else "center" if k <= grid.marks else "right"
        table.add_column(RichText("\n").join([_cell(owner), RichText(printable(name))]), justify=side)  # type: ignore[arg-type]
    for row in grid.rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(cell: Text) -> RichText:
    return RichText(printable(cell.text) + (f" [{','.join(cell.notes)}]" if cell.notes else ""))
