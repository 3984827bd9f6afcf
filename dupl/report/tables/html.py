"""The grids of a table as HTML, with the paper's symbols and drawings of intervals."""

from __future__ import annotations

import itertools

from dupl.report.pages.frame import text
from dupl.report.symbols import typeset
from dupl.report.tables.layout import Grid, Text
from dupl.report.tables.statistics import Estimate

STYLE = """
header, main { max-width: 1480px; }
nav { padding-inline: max(1rem, calc(50vw - 724px)); }
th, td { padding: 0.22rem 0.5rem; }
thead th:first-child { font-weight: 600; }
thead .group th { text-align: center; border-bottom: 1px solid var(--line); }
thead .group span { display: block; font-weight: 400; font-size: 0.8rem; color: var(--faint); white-space: normal; }
thead th { position: static; }
.left { text-align: left; }
td.left { min-width: 8rem; white-space: normal; }
.mark { text-align: center; }
td.strong { font-weight: 600; }
td.first, thead th.first { border-left: 1px solid var(--line); }
sup { font-size: 0.7em; line-height: 0; color: var(--accent); }
sub { line-height: 0; }
svg { display: block; margin: 0.1rem 0 0.2rem auto; overflow: visible; }
ol, ul { padding-left: 1.3rem; overflow-wrap: anywhere; }
.notes { color: var(--faint); font-size: 0.92rem; }
ol.notes { list-style: lower-alpha; }
"""


def symbols(plain: str) -> str:
    """Plain text as HTML; the paper's symbols (L_dis, tau_h) as it prints them."""
    return typeset(plain, text)


def grid_html(grid: Grid) -> str:
    """A grid, and beside each estimate its drawing, all of one grid to the same scale."""
    estimates = [cell.estimate for row in grid.rows for cell in row if cell.estimate is not None]
    ends = [0.0, *(end for e in estimates for end in (e.low, e.high))]
    starts = set(itertools.accumulate(count for _, _, count in grid.groups[:-1]))
    rows = []
    for row in grid.rows:
        cells = [f'<th scope="row"><span>{_text(row[0])}</span></th>']
        for k, cell in enumerate(row[1:], 1):
            names = [_place(grid, k, starts), *["strong"] * cell.strong]
            drawn = _whisker(cell.estimate, min(ends), max(ends)) if cell.estimate is not None else ""
            cells.append(f'<td class="{" ".join(names)}">{_text(cell)}{drawn}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll" tabindex="0"><table><thead>{_head(grid, starts)}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _head(grid: Grid, starts: set[int]) -> str:
    groups = "".join(
        f'<th colspan="{count}"{" class=first" if k else ""}>{symbols(label)}<span>{symbols(how)}</span></th>'
        for k, (label, how, count) in enumerate(grid.groups)
    )
    names = "".join(
        f'<th scope="col" class="{_place(grid, k, starts)}">{symbols(name)}</th>' for k, name in enumerate(grid.header)
    )
    return f'<tr class="group">{groups}</tr><tr>{names}</tr>'


def _place(grid: Grid, column: int, starts: set[int]) -> str:
    """Class of a column's cells: a check mark, text, the first of a group."""
    if 1 <= column <= grid.marks:
        return "mark"
    return "left" if column < grid.groups[0][2] else "first" if column in starts else "figure"


def _text(cell: Text) -> str:
    links = ", ".join(f'<a href="#note-{key}">{key}</a>' for key in cell.notes)
    return symbols(cell.text) + (f"<sup>{links}</sup>" if links else "")


def _whisker(estimate: Estimate, low: float, high: float) -> str:
    """An interval as a line, its middle as a dot, beside a line at zero."""
    width, span = 120, (high - low) or 1.0

    def x(value: float) -> float:
        return round(4 + (width - 8) * (value - low) / span, 1)

    ends = f'x1="{x(estimate.low)}" x2="{x(estimate.high)}"'
    return (
        f'<svg width="{width}" height="12" aria-hidden="true">'
        f'<line x1="{x(0)}" x2="{x(0)}" y1="0" y2="12" stroke="var(--faint)" stroke-dasharray="2 2"/>'
        f'<line {ends} y1="6" y2="6" stroke="var(--accent)" stroke-width="2"/>'
        f'<circle cx="{x(estimate.value)}" cy="6" r="3.5" fill="var(--accent)"/></svg>'
    )
