"""The page of a plan: its table and changes, the same as charts, and its runs, each linked to its own page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.report.pages.frame import Section, document, facts, link, note, plot, text
from dupl.report.pages.run import NAME
from dupl.report.run_comparison import course_chart, table_chart
from dupl.report.tables.html import STYLE, grid_html, symbols
from dupl.report.tables.layout import Document, layout
from dupl.report.tables.outline import PlannedRun
from dupl.report.tables.table import Table

if TYPE_CHECKING:
    from pandas import DataFrame


CHARTS = "#charts .grid { grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }"


def page(
    table: Table, runs: Sequence[PlannedRun] = (), frame: DataFrame | None = None, folder: str | Path = "."
) -> str:
    """Return the page of a plan as HTML.

    Args:
        table: Of the plan.
        runs: Planned; without them the page lists none.
        frame: Metrics of the store, for courses over training; without it the page has none.
        folder: Where the page will lie, for links to the pages of the runs.
    """
    arranged = layout(table)
    data: dict[str, Any] = {"plots": {}, "tables": {}}
    sections = [_table(arranged), *(_grid(n, arranged) for n in range(1, len(arranged.grids)))]
    data["plots"]["table"] = table_chart(table).to_plotly_json()
    body = plot("table", "Every run, and each row over its seeds")
    body += f'<div class="grid">{"".join(_course(table, runs, frame, data))}</div>'
    sections.append(Section("charts", "Charts", body))
    if runs:
        sections.append(_runs(table, runs, Path(folder), data))
    sources = facts({name: f"<code>{text(value)}</code>" for name, value in arranged.provenance})
    sections.append(Section("sources", "Where it comes from", sources))
    measures = facts({label: symbols(what) for label, what in arranged.measures})
    return document(arranged.title, "dupl plan", measures, sections, data, STYLE + CHARTS)


def _table(arranged: Document) -> Section:
    """The table, its footnotes and what holds for all of it."""
    listed = "".join(f'<li id="note-{key}">{symbols(what)}</li>' for key, what in arranged.footnotes)
    footnotes = f"<ol class=notes>{listed}</ol>" if listed else ""
    notes = "".join(f"<li>{symbols(what)}</li>" for what in arranged.notes)
    return Section("table", "Table", f"{grid_html(arranged.grids[0])}{footnotes}<ul class=notes>{notes}</ul>")


def _grid(number: int, arranged: Document) -> Section:
    grid = arranged.grids[number]
    return Section(f"grid-{number}", grid.title, grid_html(grid))


def _course(table: Table, runs: Sequence[PlannedRun], frame: DataFrame | None, data: dict[str, Any]) -> list[str]:
    """Return charts of the columns over training, of the rows that have runs, as HTML."""
    if frame is None or not runs:
        return []
    found = []
    for column in table.outline.columns:
        part = frame[(frame["protocol"] == "train") & (frame["metric"] == column.metric)]
        known = set(part["fingerprint"])
        groups = {
            row.label: [run.fingerprint for run in runs if run.row == row.key and run.fingerprint in known]
            for row in table.outline.rows
        }
        groups = {label: members for label, members in groups.items() if members}
        if not groups:
            found.append(note(f"{column.label} over training: no evaluation of the protocol train has it."))
            continue
        data["plots"][f"course-{column.key}"] = course_chart(part, column.metric, groups).to_plotly_json()
        about = "by the protocol train; lines: means over seeds, bands: from the lowest to the highest"
        found.append(plot(f"course-{column.key}", f"{column.label} over training", about))
    return found


def _runs(table: Table, runs: Sequence[PlannedRun], folder: Path, data: dict[str, Any]) -> Section:
    """The section that lists the runs, in a table that sorts."""
    columns = table.outline.columns
    labels = {row.key: row.label for row in table.outline.rows}
    rows, bare = [], 0
    for run in runs:
        own = Path(run.folder) / NAME if run.folder else None
        linked = own is not None and own.exists()
        address = link(own, folder) if own is not None and linked else None
        bare += own is not None and not linked
        values = [table.cells[run.row, column.key].values.get(run.seed) for column in columns]
        done = run.iteration if run.state else None
        rows.append(
            [
                {"value": labels[run.row], "text": labels[run.row], "link": address},
                {"value": run.seed, "text": str(run.seed)},
                {"value": run.state or "not run", "text": run.state or "not run"},
                {"value": done, "text": "–" if done is None else f"{done:,}"},
                *({"value": v, "text": "–" if v is None else f"{v:.1f}", "share": v} for v in values),
                {"value": run.fingerprint, "text": run.fingerprint},
            ]
        )
    heads = ["row", "seed", "state", "iteration", *(column.label for column in columns), "fingerprint"]
    data["tables"]["runs"] = {"heads": heads, "rows": rows}
    hint = f"{bare} of {len(runs)} runs have no page yet: dupl report PLAN --pages writes them." if bare else ""
    about = f'<p class="about">A head sorts; a link leads to the run’s page. {text(hint)}</p>'
    return Section("runs", "Runs", f'{about}<div class="scroll"><table data-table="runs"></table></div>')
