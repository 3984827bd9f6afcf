"""The cells of an archive as CSV, and their comparison with cells that were computed again."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dupl import cells
from dupl.errors import UserError
from dupl.evidence.limits import limits_of
from dupl.report.tables.render import TIDY, csv_text, lines
from dupl.report.tables.statistics import stars

if TYPE_CHECKING:
    from dupl.evidence.recompute import Recomputed
    from dupl.report.tables.table import RowStep

CELLS = "cells.csv"
COLUMNS = (*TIDY, "split", "stars", "limits")
KEY = ("row", "column")
NUMBERS = (  # compared as numbers, within rounding
    *("n", "mean", "std", "paper", "minus_paper", "change_value", "ci_low", "ci_high", "p", "p_holm", "paper_change"),
    *("ratio", "paper_ratio"),
)
TEXTS = (  # compared as they are; sentences, which may be worded anew, are not
    *(
        "plan",
        "label",
        "metric",
        "protocol",
        "seeds",
        "change",
        "against",
        "ci_over",
        "ci_method",
        "ratio_to",
        "commits",
    ),
    *("fingerprints", "selection", "split", "stars"),
)
Line = Mapping[str, str]


def cell_lines(found: Recomputed) -> list[dict[str, object]]:
    """Return a line for each cell and each effect, with keys of `COLUMNS`."""
    table, told = found.table, list[dict[str, object]]()
    columns, rows = {one.key: one for one in table.plan.columns}, {one.key: one for one in table.plan.rows}
    for line in lines(table):
        row, column = str(line["row"]), str(line["column"])
        cell = table.cells.get((row, column))
        step = cell.step if cell else table.effects[row.removeprefix("effect of "), column]
        more: dict[str, object] = {"split": table.how.get(column, "").partition(", ")[0], "stars": _stars(step)}
        if row in rows and cell is not None and cell.values:
            more["limits"] = "; ".join(limits_of(found, rows[row], columns[column]))
        told.append(line | more)
    return told


def _stars(step: RowStep | None) -> str:
    return "" if step is None or step.estimate is None else stars(step.p, step.estimate.seeds)


def text_of(found: Recomputed) -> str:
    """Return the cells as CSV."""
    return csv_text(cell_lines(found), COLUMNS)


def parse(text: str) -> list[dict[str, str]]:
    """Return the lines of a file of cells.

    Raises:
        UserError: It has other columns, or is cut off.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        found = list(reader)
    except csv.Error as error:
        raise UserError(f"{CELLS} is corrupt: {error}") from None
    if reader.fieldnames is None or list(reader.fieldnames) != list(COLUMNS):
        raise UserError(f"{CELLS} has other columns than this version reads")
    if any(None in line or None in line.values() for line in found):
        raise UserError(f"{CELLS} is corrupt: its lines are not as long as its header")
    return [{key: cells.read(value) for key, value in line.items()} for line in found]


def by_cell(told: Sequence[Line]) -> dict[tuple[str, str], Line]:
    """Return lines by row and column.

    Raises:
        UserError: A cell occurs twice.
    """
    found = {(line["row"], line["column"]): line for line in told}
    if len(found) != len(told):
        raise UserError(f"{CELLS} has a cell twice")
    return found


def differences(told: Line, again: Line) -> list[str]:
    """Return in what a cell of the file differs from the same cell computed again."""
    found = [name for name in TEXTS if told[name] != again[name]]
    found += [name for name in NUMBERS if not _close(told[name], again[name])]
    one, two = told["values"].split(), again["values"].split()
    if len(one) != len(two) or not all(map(_close, one, two)):
        found.append("values")
    return [f"{name} is {told[name] or 'missing'}, computed again {again[name] or 'missing'}" for name in found]


def _close(one: str, two: str) -> bool:
    """Return whether two cells hold the same number, or nothing."""
    if not one or not two:
        return one == two
    try:
        return math.isclose(float(one), float(two), rel_tol=1e-6, abs_tol=1e-9)
    except ValueError:
        return False


def number(text: str) -> float | None:
    """Return the number of a cell; None of an empty one."""
    return float(text) if text else None


def shown(line: Mapping[str, Any]) -> str:
    """Return the number of a line as a table prints it."""
    if line["mean"]:
        spread = f" ± {float(line['std']):.1f}" if line["std"] else ""
        value = f"{float(line['mean']):.1f}{spread} ({line['n']})"
    else:
        value = "" if line["n"] else "effect"
    if line["change_value"]:
        value += f", {float(line['change_value']):+.1f}{line['stars']}"
        value += f" [{float(line['ci_low']):.1f}, {float(line['ci_high']):.1f}]" if line["ci_low"] else ""
    return value
