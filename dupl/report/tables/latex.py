"""Print a table in LaTeX, which needs the packages booktabs, amssymb and graphicx."""

from __future__ import annotations

import re

from dupl.report.symbols import SYMBOL
from dupl.report.tables.layout import Document, Grid, Text

SPECIAL = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
    "±": r"\ensuremath{\pm}",
    "−": r"\ensuremath{-}",
    "×": r"\ensuremath{\times}",
    "✓": r"\checkmark",
    "–": "--",
    "[": "{[}",  # LaTeX would read [ and * as arguments of the \\ that ends the row before
    "*": "{*}",
    '"': "''",
}
LONG = 40  # letters of a label up to which a column is not wrapped


def latex(document: Document) -> str:
    """Return a `table` environment for each grid; the notes are below the first."""
    packages = "% needs \\usepackage{booktabs,amssymb,graphicx}\n"
    comments = "".join(f"% {name}: {' '.join(value.split())}\n" for name, value in document.provenance)
    notes = [rf"\textsuperscript{{{key}}}~{escape(text)}" for key, text in document.footnotes]
    notes += [escape(f"{label}: {what}") for label, what in document.measures]
    notes += [escape(note) for note in document.notes]
    name = re.sub(r"[^A-Za-z0-9]+", "-", dict(document.provenance).get("plan", "table")).strip("-")
    tables = []
    for k, grid in enumerate(document.grids):
        caption = f"{document.title}: {grid.title[0].lower()}{grid.title[1:]}" if grid.title else document.title
        label = f"tab:{name}" + (f"-{k + 1}" if k else "")
        tables.append(_table(grid, caption, label, notes * (k == 0)))
    return packages + comments + "\n".join(tables)


def escape(text: str) -> str:
    """Return plain text as LaTeX on one line, the paper's symbols (L_dis, tau_h) in math mode."""
    found, end = [], 0
    text = " ".join(text.split())
    for match in SYMBOL.finditer(text):
        base = r"\mathcal{L}" if match[1] == "L" else f"\\{match[1]}"
        found += [_plain(text[end : match.start()]), rf"\ensuremath{{{base}_{{\mathrm{{{match[2]}}}}}}}"]
        end = match.end()
    return "".join([*found, _plain(text[end:])])


def _plain(text: str) -> str:
    return "".join(SPECIAL.get(c, c) for c in text)


def _table(grid: Grid, caption: str, label: str, notes: list[str]) -> str:
    lead, width = grid.groups[0][2], len(grid.header)
    shape = "".join(_shape(grid, k, lead) for k in range(width))
    top, rules, first = ["" if lead == 1 else rf"\multicolumn{{{lead}}}{{c}}{{}}"], [], lead + 1
    for (owner, how, count), letters in zip(grid.groups[1:], grid.letters[1:], strict=True):
        name = rf"{_cell(Text(owner, letters))} {{\scriptsize({escape(how)})}}"
        top.append(rf"\multicolumn{{{count}}}{{c}}{{{name}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
        first += count
    rows = [rf"{' & '.join(map(_cell, row))} \\" for row in grid.rows]
    body = [rf"\begin{{tabular}}{{{shape}}}", r"\toprule", rf"{' & '.join(top)} \\", "".join(rules)]
    body += [rf"{' & '.join(map(escape, grid.header))} \\", r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    body = [r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%", *body, "}"]
    below = []
    if notes:
        below = [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize", "\\par\n".join(notes)]
        below.append(r"\end{minipage}")
    head = [r"\begin{table}[tbp]", r"\centering", rf"\caption{{{escape(caption)}}}\label{{{label}}}"]
    return "\n".join([*head, *body, *below, r"\end{table}"]) + "\n"


def _shape(grid: Grid, column: int, lead: int) -> str:
    """Return the alignment of a column."""
    if column >= lead:
        return "r"
    if 1 <= column <= grid.marks:
        return "c"
    return r"p{0.4\linewidth}" if any(len(row[column].text) > LONG for row in grid.rows) else "l"


def _cell(cell: Text) -> str:
    return escape(cell.text) + (rf"\textsuperscript{{{','.join(cell.notes)}}}" if cell.notes else "")
