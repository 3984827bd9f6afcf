"""Print a table as Markdown, LaTeX or CSV; its HTML page is in `dupl.report.pages.plan`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from dupl import cells
from dupl.errors import UserError
from dupl.report.tables.latex import latex
from dupl.report.tables.layout import layout
from dupl.report.tables.markdown import markdown
from dupl.report.tables.paper_style import paper_latex
from dupl.report.tables.table import RowStep, Table

FORMATS = ("md", "latex", "csv")
STYLES = ("full", "paper")
TIDY = (
    *("plan", "row", "label", "column", "metric", "protocol", "how", "n", "seeds", "values", "mean", "std"),
    *("paper", "minus_paper", "change", "against", "change_value", "ci_low", "ci_high", "ci_over", "ci_method"),
    *("p", "p_holm", "paper_change", "ratio", "ratio_to", "paper_ratio", "commits", "fingerprints", "selection"),
    "notes",
)


def render(table: Table, form: str, style: str = "full") -> str:
    """Return a table as text.

    Args:
        table: What to show.
        form: One of `FORMATS`.
        style: One of `STYLES`. "paper" is for LaTeX: the paper's own form, the best number of each column in bold.

    Raises:
        UserError: There is no such form, or it has no such style.
    """
    if style not in STYLES:
        raise UserError(f"style is {style!r}; give one of {', '.join(STYLES)}")
    if style == "paper":
        if form != "latex":
            raise UserError(f"style paper is of the form latex, not of {form}")
        return paper_latex(table)
    if form not in FORMATS:
        raise UserError(f"form is {form!r}; give one of {', '.join(FORMATS)}")
    if form == "csv":
        return tidy(table)
    return {"md": markdown, "latex": latex}[form](layout(table))


def tidy(table: Table) -> str:
    """Return the lines of a table as CSV; a field is empty where there is no number."""
    return csv_text(lines(table), TIDY)


def csv_text(told: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Return lines as CSV; a column that a line does not have is empty, as is None."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: cells.written(value) for key, value in line.items()} for line in told)
    return text.getvalue()


def lines(table: Table) -> list[dict[str, object]]:
    """Return a line for each cell and for each effect of a component, with keys of `TIDY` and unrounded numbers."""
    found, plan = list[dict[str, object]](), table.plan
    for column in plan.columns:
        shared = dict(plan=plan.name, column=column.key, metric=column.metric, protocol=column.measured)
        shared["how"] = table.how.get(column.key, "")
        shared["selection"] = "; ".join(rule.text for rule in table.selection.get(column.key, ()))
        for row in plan.rows:
            cell = table.cells[row.key, column.key]
            line: dict[str, object] = {**shared, "row": row.key, "label": row.label, "n": len(cell.values)}
            line["seeds"] = " ".join(map(str, cell.values))
            line["values"] = " ".join(map(repr, cell.values.values()))
            if cell.summary is not None:
                line |= {"mean": cell.summary.mean, "std": cell.summary.std}
                line["minus_paper"] = None if cell.paper is None else cell.summary.mean - cell.paper
            line |= {"paper": cell.paper, "commits": " ".join(cell.commits)}
            line["fingerprints"] = " ".join(cell.fingerprints)
            step = cell.step
            told = [*cell.notes, "" if step is None else step.note, row.note, table.cautions.get(column.key, "")]
            line["notes"] = "; ".join(filter(None, told))
            if (ratio := table.ratios.get((row.key, column.key))) is not None:
                line |= {"ratio": ratio.value, "ratio_to": ratio.to, "paper_ratio": ratio.paper}
            found.append(line | _figures(step))
        for (factor, key), step in table.effects.items():
            if key == column.key:
                lead = {**shared, "row": f"effect of {factor}", "label": step.label, "notes": step.note}
                found.append(lead | _figures(step))
    return found


def _figures(step: RowStep | None) -> dict[str, object]:
    if step is None:
        return {}
    found: dict[str, object] = {"change": step.label, "against": step.against, "change_value": step.change}
    found["paper_change"] = step.paper
    if step.estimate is not None:
        e = step.estimate
        found |= {
            "ci_low": e.low,
            "ci_high": e.high,
            "ci_over": e.over,
            "ci_method": e.interval,
            "p": e.p,
            "p_holm": step.p,
        }
    return found
