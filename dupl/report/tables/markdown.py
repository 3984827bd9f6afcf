"""Print a table in GitHub's Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dupl.report.tables.layout import Document, Grid, Text

SPECIAL = re.compile(r"[\\`*|<>\[\]]|(?<!\w)_|_(?!\w)")


def markdown(document: Document) -> str:
    """Return headings, grids, footnotes by letter, notes and provenance."""
    parts = [f"## {escape(document.title)}"]
    parts.append("\n".join(f"- {escape(label)}: {escape(what)}" for label, what in document.measures))
    for grid in document.grids:
        parts += [f"### {escape(grid.title)}"] * bool(grid.title) + [_grid(grid)]
    parts.append("\n".join(f"<sup>{key}</sup> {escape(text)}  " for key, text in document.footnotes))
    parts.append("\n".join(f"- {escape(note)}" for note in document.notes))
    parts.append("\n".join(f"- {name}: {escape(value)}" for name, value in document.provenance))
    return "\n\n".join(filter(None, parts)) + "\n"


def escape(text: str) -> str:
    """Return plain text as Markdown that shows it unchanged, on one line."""
    return SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def _grid(grid: Grid) -> str:
    lead = grid.groups[0][2]
    owners = [  # the list above the grids has the protocol of each
        (f"{label}: " if label else "", letters)
        for (label, _, count), letters in zip(grid.groups, grid.letters, strict=True)
        for _ in range(count)
    ]
    header = [_cell(Text(owner + name, found)) for (owner, found), name in zip(owners, grid.header, strict=True)]
    marks = range(1, 1 + grid.marks)
    rule = [":-:" if k in marks else "---" if k < lead else "--:" for k in range(len(header))]
    return "\n".join([_line(header), _line(rule), *(_line(map(_cell, row)) for row in grid.rows)])


def _cell(cell: Text) -> str:
    return escape(cell.text) + (f"<sup>{','.join(cell.notes)}</sup>" if cell.notes else "")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
