"""Print a table in LaTeX as the paper has it: one number per cell, the best of each column in bold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dupl.plans.plan import Column, Row
from dupl.report.symbols import SYMBOL
from dupl.report.tables.latex import escape
from dupl.report.tables.layout import MARKS, RATIO, Footnotes
from dupl.report.tables.table import Cell, Table

COLUMN = 40  # letters that fit the width of a column of a paper in two columns
GAP = 2  # letters between two columns


@dataclass(frozen=True)
class PaperCell:
    """A cell as LaTeX.

    Attributes:
        text: LaTeX.
        width: How many letters it takes.
        columns: How many columns it spans; 0 for a place that the cell before it spans.
    """

    text: str
    width: int
    columns: int = 1

    @classmethod
    def plain(cls, text: str, notes: Sequence[str] = ()) -> PaperCell:
        """Return a cell of plain text with the letters of its footnotes."""
        letters = ",".join(notes)
        return cls(escape(text) + (rf"\textsuperscript{{{letters}}}" if letters else ""), len(text) + len(letters))


def paper_latex(table: Table) -> str:
    """Return a table in the paper's form: needs booktabs and amssymb.

    Rows of components are check marks, as in Table 4; other rows have their label. A cell is the mean over seeds, with
    its standard deviation where there are several; the best one of each column is bold, the lowest of over-activation.
    The table spans both columns of the page (``table*``) where it is wider than one.
    """
    footnotes = Footnotes()
    header, rows, marks = _grid(table, footnotes)
    widths = [
        max([len(SYMBOL.sub("xxx", head)), *(row[k].width for row in rows if row[k].columns == 1)]) + GAP
        for k, head in enumerate(header)
    ]
    environment = "table*" if sum(widths) > COLUMN else "table"
    shape = "c" * marks if marks else "l"
    name = re.sub(r"[^A-Za-z0-9]+", "-", table.plan.name).strip("-")
    lines = [
        "% needs \\usepackage{booktabs,amssymb}",
        *(f"% {key}: {' '.join(value.split())}" for key, value in _provenance(table).items()),
        rf"\begin{{{environment}}}[t]",
        r"\centering",
        rf"\caption{{{escape(table.plan.title)}}}\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{{shape}{'c' * (len(header) - len(shape))}}}",
        r"\toprule",
        rf"{' & '.join(map(escape, header))} \\",
        r"\midrule",
        *(rf"{' & '.join(cell.text for cell in row if cell.columns)} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *_notes(table, footnotes),
        rf"\end{{{environment}}}",
    ]
    return "\n".join(lines) + "\n"


def _provenance(table: Table) -> dict[str, str]:
    """Return where a table comes from, with the command that makes it in this form."""
    facts = dict(table.provenance)
    return facts | {"command": f"{facts['command']} --style paper"} if facts.get("command") else facts


def _grid(table: Table, footnotes: Footnotes) -> tuple[list[str], list[list[PaperCell]], int]:
    """Return the header, the cells of all rows, and the number of columns of check marks."""
    plan = table.plan
    marked = bool(plan.factors) and len(plan.factors) <= MARKS
    lead = ["Baseline", *plan.factors.values()] if marked else [plan.heading]
    header = list(lead)
    for column in plan.columns:
        label = column.label + " (best)" * (column.report == "best")
        header += [label, *[RATIO] * any(key == column.key for _, key in table.ratios)]
    rows = []
    for row in plan.rows:
        cells = _marks(table, row, footnotes) if marked else [PaperCell.plain(row.label, footnotes.add([row.note]))]
        for column in plan.columns:
            cells += _values(table, row, column, footnotes)
        rows.append(cells)
    return header, rows, len(lead) if marked else 0


def _marks(table: Table, row: Row, footnotes: Footnotes) -> list[PaperCell]:
    """Return the check marks of a row; the baseline is in every one that is trained, others have their label."""
    if not row.trained:
        label, count = PaperCell.plain(row.label, footnotes.add([row.note])), 1 + len(table.plan.factors)
        whole = PaperCell(rf"\multicolumn{{{count}}}{{l}}{{{label.text}}}", label.width, count)
        return [whole, *[PaperCell("", 0, 0)] * (count - 1)]
    has = [True, *(key in row.has for key in table.plan.factors)]
    notes = footnotes.add([row.note])
    return [PaperCell.plain("✓" if on else "", notes if k == 0 else ()) for k, on in enumerate(has)]


def _values(table: Table, row: Row, column: Column, footnotes: Footnotes) -> list[PaperCell]:
    """Return a row's number in a column, and its ratio where the column has any."""
    cell = table.cells[row.key, column.key]
    if row.printed:  # the footnote of its label says whose number it is
        found = [PaperCell.plain("–" if cell.paper is None else f"{cell.paper:.1f}")]
    else:
        found = [_number(cell, _is_best(table, cell, column), footnotes)]
    if any(key == column.key for _, key in table.ratios):
        ratio = table.ratios.get((row.key, column.key))
        found.append(PaperCell.plain("" if ratio is None else "–" if ratio.value is None else f"{ratio.value:.1f}"))
    return found


def _number(cell: Cell, best: bool, footnotes: Footnotes) -> PaperCell:
    if cell.summary is None:
        return PaperCell.plain("–", footnotes.add(cell.notes))
    mean, std = f"{cell.summary.mean:.1f}", cell.summary.std
    text = rf"\textbf{{{mean}}}" if best else mean
    if std is not None:
        text += rf"\,{{\scriptsize$\pm$\,{std:.1f}}}"
    letters = ",".join(footnotes.add(cell.notes))
    text += rf"\textsuperscript{{{letters}}}" if letters else ""
    return PaperCell(text, len(mean) + (0 if std is None else 5) + len(letters))


def _is_best(table: Table, cell: Cell, column: Column) -> bool:
    """Return whether a cell has the best mean of its column, as printed, where there are several to choose from."""
    cells = (table.cells[row.key, column.key] for row in table.plan.rows)
    means = [round(one.summary.mean, 1) for one in cells if one.summary is not None]
    if cell.summary is None or len(set(means)) < 2:
        return False
    return round(cell.summary.mean, 1) == (min(means) if column.metric.endswith("/OA") else max(means))


def _notes(table: Table, footnotes: Footnotes) -> list[str]:
    """Return what stands below the table: how each column was measured, the seeds, and what is missing."""
    trained = {row.key for row in table.plan.trained}
    counts = sorted({len(cell.values) for (row, _), cell in table.cells.items() if cell.values and row in trained})
    if not counts:
        seeds = "no run has finished"
    elif counts == [1]:
        seeds = "one seed"
    elif len(counts) == 1:
        seeds = f"mean and standard deviation over {counts[0]} seeds"
    else:
        seeds = f"mean and standard deviation over {counts[0]} to {counts[-1]} seeds"
    texts = [
        f"{column.heading}: {column.metric} (%), {table.how.get(column.key) or f'protocol {column.protocol}'}"
        + "".join(f", selected: {rule.text}" for rule in table.selection.get(column.key, ()))
        for column in table.plan.columns
    ]
    if table.plan.ratio:
        names = {row.key: row.label for row in table.plan.rows}
        texts.append(
            "ratio: " + ", ".join(f"{names[key]} by {names[other]}" for key, other in table.plan.ratio.items())
        )
    plain = escape("; ".join([*texts, seeds]) + ".")
    letters = [rf"\textsuperscript{{{key}}}~{escape(_sentence(text))}" for text, key in footnotes.letters.items()]
    notes = [escape(_sentence(note)) for note in (*table.notes, table.plan.reference) if note]
    return [r"\par\smallskip", rf"{{\footnotesize {' '.join([plain, *letters, *notes])}\par}}"]


def _sentence(text: str) -> str:
    """Return a note with its full stop, as notes follow each other on one line."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
