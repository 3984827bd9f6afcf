"""The page of a sweep: its best trials, what matters, how the search went, and every trial in a table that sorts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.report.pages.frame import Section, document, facts, link, note, plot, text, tile
from dupl.report.pages.run import NAME
from dupl.report.sweep.charts import (
    course_chart,
    front_chart,
    history_chart,
    importance_chart,
    slice_chart,
    told,
)
from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.surface import contour_chart, parallel_chart
from dupl.report.sweep.text import (
    Grid,
    best_title,
    caution,
    count,
    importance_about,
    importance_grid,
    summary,
    trial_grid,
    values_of,
)
from dupl.report.sweep.trials import complete, goal_values, tally
from dupl.report.tables.html import STYLE, grid_html, symbols
from dupl.report.tables.layout import NONE, layout
from dupl.report.tables.table import Table

if TYPE_CHECKING:
    from pandas import DataFrame

PAIRS = 4  # parameters whose pairs have a contour
SWEEP_STYLE = """
#slices .grid { grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); }
.wide { margin-top: 0.9rem; }
"""
Data = dict[str, Any]


def sweep_page(
    report: SweepReport, frame: DataFrame | None = None, tables: Sequence[Table] = (), folder: str | Path = "."
) -> str:
    """Return the page of a sweep as HTML.

    Args:
        report: Of the sweep.
        frame: Metrics of the trials' runs, for their courses over training; without it the page has none.
        tables: Of plans, from the sweep's trials.
        folder: Where the page will lie, for links to the pages of the runs.
    """
    data: Data = {"plots": {}, "tables": {}}
    known = complete(report.outline, report.trials)
    sections = [_best(report)]
    if len(report.outline.goals) > 1 and report.best:
        chart = _plot(
            data, "front", front_chart(report), "Front", "no trial is better by one goal and not worse by all"
        )
        sections[0] = Section("best", sections[0].title, chart + sections[0].body)
    sections.append(_history(report, frame, data))
    sections.append(_importances(report, data))
    if len(known):
        sections += [_slices(report, data), _together(report, data)]
    sections += [_table(table, number) for number, table in enumerate(tables, 1)]
    sections.append(_trials(report, Path(folder), data))
    facts_ = {name: f"<code>{text(value)}</code>" for name, value in summary(report).items()}
    sections.append(Section("sources", "Where it comes from", facts(facts_)))
    notes = "".join(f"<li>{text(line)}</li>" for line in caution(report))
    head = f'<dl class="tiles">{_tiles(report)}</dl><ul class="notes">{notes}</ul>'
    return document(report.outline.title, "dupl sweep", head, sections, data, STYLE + SWEEP_STYLE)


def _plot(data: Data, key: str, figure: Any, title: str, about: str = "") -> str:
    data["plots"][key] = figure.to_plotly_json()
    return plot(key, title, about)


def _tiles(report: SweepReport) -> str:
    outline, trials = report.outline, report.trials
    known, tiles = complete(outline, trials), []
    start = known[known["number"] == outline.start]
    for goal, (metric, direction) in enumerate(outline.goals):
        values = goal_values(known, goal)
        if not values:
            tiles.append(tile(metric, NONE, "no trial is complete"))
            continue
        best = max(values) if direction == "maximize" else min(values)
        where = known["number"].tolist()[values.index(best)]
        tiles.append(tile(f"best {metric}", f"{best:.2f}", f"trial {where}, on the search split"))
        if len(start):
            own = goal_values(start, goal)[0]
            tiles.append(tile("starting point", f"{own:.2f}", f"trial {outline.start}; best {best - own:+.2f}"))
    states = tally(trials)
    others = ", ".join(f"{n} {state}" for state, n in states.items() if state != "complete")
    tiles.append(tile("complete trials", str(states.get("complete", 0)), others))
    shown = summary(report)
    if "pruning" in shown:
        iterations, _, share = shown["pruning"].rpartition(" (")
        tiles.append(tile("spared by pruning", share.rstrip(")"), iterations))
    return "".join(tiles)


def _best(report: SweepReport) -> Section:
    numbers, start = list(report.best), report.outline.start
    if not numbers:
        return Section("best", best_title(report), note("No trial is complete yet."))
    about = ""
    if start is not None and start not in numbers and (report.trials["number"] == start).any():
        numbers.append(start)
        about = f'<p class="about">The last row is the starting point, trial {start}.</p>'
    return Section("best", best_title(report), about + _html(trial_grid(report, numbers)))


def _html(grid: Grid) -> str:
    heads = "".join(f'<th scope="col">{symbols(head)}</th>' for head in grid[0])
    cells = (("".join(f"<td>{text(cell)}</td>" for cell in row[1:]), row[0]) for row in grid[1])
    rows = "".join(f'<tr><th scope="row"><span>{symbols(name)}</span></th>{others}</tr>' for others, name in cells)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _history(report: SweepReport, frame: DataFrame | None, data: Data) -> Section:
    body = ""
    for goal, (metric, _) in enumerate(report.outline.goals):
        title = f"{metric} over the trials"
        body += _plot(data, f"history-{goal}", history_chart(report, goal), title, "a point tells its parameters")
    courses = None if frame is None else course_chart(report, frame)
    if courses is not None:
        body += _plot(
            data, "courses", courses, "Over training", "each line a trial; a pruned one ends where it was cut"
        )
    return Section("history", "History", body)


def _importances(report: SweepReport, data: Data) -> Section:
    body = note(report.missing) if report.missing else ""
    if not report.importances:
        return Section("importances", "Importances", body)
    body += f'<p class="about">{text(importance_about(report))}</p>'
    for number, (metric, _) in enumerate(report.outline.goals):
        chart = _plot(data, f"importance-{number}", importance_chart(report, metric), metric)
        body += chart + _html(importance_grid(report, metric))
    return Section("importances", "Importances", body)


def _slices(report: SweepReport, data: Data) -> Section:
    parts: list[str] = []
    for goal, (metric, _) in enumerate(report.outline.goals):
        for axis in report.outline.axes:
            title = axis.label if len(report.outline.goals) == 1 else f"{axis.label}: {metric}"
            parts.append(_plot(data, f"slice-{goal}-{len(parts)}", slice_chart(report, axis, goal), title))
    about = '<p class="about">Dots: complete trials, later ones lighter; crosses below them: pruned; star: start.</p>'
    return Section("slices", "Slices", f'{about}<div class="grid">{"".join(parts)}</div>')


def _together(report: SweepReport, data: Data) -> Section:
    """Contours of pairs of the parameters that matter most, and parallel coordinates of all."""
    axes = {axis.name: axis for axis in report.outline.axes}
    order = list(dict.fromkeys([*(one.axis for one in report.importances), *axes]))
    known = complete(report.outline, report.trials)
    numeric = [axes[name] for name in order if axes[name].low is not None and axes[name].column in known][:PAIRS]
    parts: list[str] = []
    for one, other in itertools.combinations(numeric, 2):
        chart = contour_chart(report, one, other)
        if chart.data[0].type == "contour":  # not of trials on a line
            parts.append(_plot(data, f"contour-{len(parts)}", chart, f"{one.label} and {other.label}"))
    metric = report.outline.goals[0][0]
    about = f"{metric}, linear between the trials (dots) whatever their other parameters; star: the best trial."
    body = f'<p class="about">{text(about)}</p><div class="grid">{"".join(parts)}</div>' if parts else ""
    lines = _plot(
        data,
        "parallel",
        parallel_chart(report),
        "All at once",
        "complete trials, a line each, the best one thick; a line tells its trial",
    )
    return Section("together", "Together", f"{body}<div class='wide'>{lines}</div>")


def _table(table: Table, number: int) -> Section:
    arranged = layout(table)
    listed = "".join(f'<li id="note-{key}">{symbols(what)}</li>' for key, what in arranged.footnotes)
    notes = "".join(f"<li>{symbols(what)}</li>" for what in arranged.notes)
    grids = "".join(f"<h3>{symbols(grid.title)}</h3>" * bool(grid.title) + grid_html(grid) for grid in arranged.grids)
    measures = facts({label: symbols(what) for label, what in arranged.measures})
    body = f"{measures}{grids}<ol class=notes>{listed}</ol><ul class=notes>{notes}</ul>"
    for mark in ('id="note-', 'href="#note-'):  # the letters are those of this table
        body = body.replace(mark, f"{mark}{number}-")
    return Section(f"table-{number}", arranged.title, body)


def _trials(report: SweepReport, folder: Path, data: Data) -> Section:
    """Every trial, in a table that sorts."""
    outline, rows = report.outline, []
    for _, row in report.trials.sort_values("number").iterrows():
        own = Path(row["folder"]) / NAME if row["folder"] else None
        address = link(own, folder) if own is not None and own.exists() else None
        cells: list[dict[str, Any]] = [{"value": int(row["number"]), "text": str(row["number"]), "link": address}]
        cells.append({"value": row["state"], "text": row["state"]})
        for goal, shown in enumerate(values_of(report, row)):
            cells.append({"value": None if shown == NONE else float(row["values"][goal]), "text": shown})
        for axis in outline.axes:
            value = row.get(axis.column)
            shown = told(axis, value)
            cells.append(
                {"value": None if shown == NONE else shown if axis.low is None else float(value), "text": shown}
            )
        done = count(row["iteration"])
        cells.append({"value": None if done == NONE else int(row["iteration"]), "text": done})
        took = count(row["seconds"])
        cells.append({"value": None if took == NONE else float(row["seconds"]), "text": took})
        cells += [{"value": row[name] or NONE, "text": row[name] or NONE} for name in ("run", "reason")]
        rows.append(cells)
    goals, labels = [metric for metric, _ in outline.goals], [axis.label for axis in outline.axes]
    heads = ["trial", "state", *goals, *labels, "iteration", "seconds", "run", "reason"]
    data["tables"]["trials"] = {"heads": heads, "rows": rows}
    about = '<p class="about">A head sorts; a link leads to the run’s page. Of a pruned trial: what it had by then.</p>'
    return Section("trials", "Trials", f'{about}<div class="scroll"><table data-table="trials"></table></div>')
