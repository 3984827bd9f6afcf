"""The page of a plan: its table and changes, the same as charts, and its runs with links to their own pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.report.figures.beginnings import Grown, tree_chart
from dupl.report.figures.over_activation import rate_bars
from dupl.report.pages.html import FILE, ChartCard, Site, add_chart, render
from dupl.report.pages.table_view import grid_views
from dupl.report.run_comparison_charts import course_chart, table_chart
from dupl.report.tables.evaluation import title_of
from dupl.report.tables.layout import layout
from dupl.report.tables.row_run import RowRun
from dupl.report.tables.table import Table

if TYPE_CHECKING:
    from pandas import DataFrame

CLASS_CAPTION = "FP / (TP + FP) of the pixels of each class, mean over seeds; no bar: the class is never predicted"
COURSE_CAPTION = "protocol train; lines: means over seeds, bands: from the lowest to the highest seed"


def page(
    table: Table,
    runs: Sequence[RowRun] = (),
    frame: DataFrame | None = None,
    folder: str | Path = ".",
    rates: Mapping[str, DataFrame] | None = None,
    site: Site = FILE,
) -> str:
    """Return the page of a plan as HTML.

    Args:
        table: Of the plan.
        runs: Planned; without them the page lists none.
        frame: Metrics of the store, for curves over training; without it the page has none.
        folder: Where the page will be written, for links to the pages of the runs.
        rates: Over-activation per class by metric, a row per class and a column per row of the plan.
        site: Where the page stands.
    """
    document = layout(table)
    data: dict[str, Any] = {"plots": {}, "tables": {}}
    course_cards, without_course = _courses(table, runs, frame, data)
    grid_titles = {f"grid-{k}": grid.title for k, grid in enumerate(document.grids[1:], 1)}
    sections = {"table": "Table", **grid_titles, "charts": "Charts"} | ({"runs": "Runs"} if runs else {})
    return render(
        "plan.html",
        document.title,
        data,
        site,
        sections=sections | {"sources": "Provenance"},
        document=document,
        grids=grid_views(document),
        grid_titles=grid_titles,
        table_card=add_chart(data, "table", table_chart(table), "Every run, and the mean of each row over its seeds"),
        tree_card=_tree(table, runs, data),
        class_cards=_classes(rates or {}, [row.label for row in table.plan.rows], data),
        course_cards=course_cards,
        without_course=without_course,
        runs=_runs(table, runs, Path(folder), data, site) if runs else None,
        provenance_names=[name for name, _ in document.provenance],
    )


def _courses(
    table: Table, runs: Sequence[RowRun], frame: DataFrame | None, data: dict[str, Any]
) -> tuple[list[ChartCard], list[str]]:
    """Return the cards of the columns over training, and the labels of the columns that no run has over training."""
    cards: list[ChartCard] = []
    missing: list[str] = []
    if frame is None or not runs:
        return cards, missing
    of_last = {column.metric for column in table.plan.columns if column.report == "last"}
    for column in table.plan.columns:
        if column.report == "best" and column.metric in of_last:  # the same curve
            continue
        part = frame[(frame["protocol"] == "train") & (frame["metric"] == column.metric)]
        known = set(part["fingerprint"])
        groups = {
            row.label: [
                run.fingerprint for run in runs if run.row == row.key and run.fingerprint in known and not run.masks
            ]
            for row in table.plan.rows
        }
        groups = {label: members for label, members in groups.items() if members}
        if not groups:
            missing.append(column.label)
            continue
        chart = course_chart(part, column.metric, groups, rows=[row.label for row in table.plan.rows])
        cards.append(add_chart(data, f"course-{column.key}", chart, f"{column.label} over training", COURSE_CAPTION))
    return cards, missing


def _tree(table: Table, runs: Sequence[RowRun], data: dict[str, Any]) -> ChartCard | None:
    """Return the card of which runs began as which; None where none did."""
    labels = {row.key: row.label for row in table.plan.rows}
    grown: dict[str, Grown] = {}
    for run in runs:
        begun = run.beginning
        origin = (begun.iteration, begun.run, begun.folder) if begun else ()
        if run.state:
            grown.setdefault(run.fingerprint, Grown(f"{labels[run.row]}, seed {run.seed}", run.iteration, *origin))
    chart = tree_chart(grown, list(labels.values()))
    if chart is None:
        return None
    once = {run.fingerprint: run for run in runs}.values()
    saved = sum(run.beginning.seconds for run in once if run.beginning)
    spent = sum(run.seconds for run in once)
    caption = f"training took {spent / 3600:.2f} h; beginnings that were trained once saved {saved / 3600:.2f} h"
    return add_chart(data, "tree", chart, "Which runs began as which", caption)


def _classes(rates: Mapping[str, DataFrame], order: Sequence[str], data: dict[str, Any]) -> list[ChartCard]:
    """Return the cards of over-activation per class, one for each metric."""
    cards = []
    for number, (metric, table) in enumerate(rates.items()):
        columns = {str(label): table[label].tolist() for label in table}
        chart = rate_bars(columns, list(table.index), "OA rate (%)", order)
        title = f"Over-activation per class: {title_of(metric.removesuffix('/OA'))}"
        cards.append(add_chart(data, f"classes-{number}", chart, title, CLASS_CAPTION))
    return cards


def _runs(table: Table, runs: Sequence[RowRun], folder: Path, data: dict[str, Any], site: Site) -> dict[str, int]:
    """Store the rows of the table of runs in ``data``; return how many runs there are, and how many have no page."""
    columns = table.plan.columns
    labels = {row.key: row.label for row in table.plan.rows}
    rows, without_page = [], 0
    for run in {run.masks or (run.row, run.seed): run for run in runs}.values():  # label maps stand there once
        address = site.run_page(Path(run.folder), folder) if run.folder else None
        without_page += bool(run.folder) and address is None
        values = [table.cells[run.row, column.key].values.get(run.seed) for column in columns]
        done, state = run.iteration if run.state else None, run.state or "not run"
        rows.append(
            [
                {"value": labels[run.row], "text": labels[run.row], "link": address},
                {"value": run.seed, "text": str(run.seed)},
                {"value": state, "text": state},
                {"value": done, "text": "–" if done is None else f"{done:,}"},
                *({"value": v, "text": "–" if v is None else f"{v:.1f}", "share": v} for v in values),
                {"value": run.fingerprint, "text": run.fingerprint},
            ]
        )
    heads = ["row", "seed", "state", "iteration", *(column.heading for column in columns), "fingerprint"]
    data["tables"]["runs"] = {"heads": heads, "rows": rows}
    return {"count": len(runs), "without_page": without_page}
