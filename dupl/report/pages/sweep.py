"""The page of a sweep: its best trials, importances, charts of the search, and every trial in a table that sorts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.report.pages.html import ChartCard, add_chart, link, render
from dupl.report.pages.table_view import grid_views
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
from dupl.report.tables.layout import NONE, layout
from dupl.report.tables.table import Table
from dupl.runs.layout import PAGE

if TYPE_CHECKING:
    from pandas import DataFrame

PAIRS = 4  # parameters whose pairs have a contour
Data = dict[str, Any]


def sweep_page(
    report: SweepReport, frame: DataFrame | None = None, tables: Sequence[Table] = (), folder: str | Path = "."
) -> str:
    """Return the page of a sweep as HTML.

    Args:
        report: Of the sweep.
        frame: Metrics of the trials' runs, for their curves over training; without it the page has none.
        tables: Of plans, from the sweep's trials.
        folder: Where the page will be written, for links to the pages of the runs.
    """
    data: Data = {"plots": {}, "tables": {"trials": _trials(report, Path(folder))}}
    known = len(complete(report.outline, report.trials)) > 0
    documents = [(f"table-{k}", layout(table)) for k, table in enumerate(tables, 1)]
    sections = {"best": best_title(report), "history": "History", "importances": "Importances"}
    sections |= {"slices": "Slices", "pairs": "Parameters together"} if known else {}
    sections |= {key: document.title for key, document in documents}
    facts = summary(report)
    return render(
        "sweep.html",
        report.outline.title,
        data,
        sections=sections | {"trials": "Trials", "sources": "Provenance"},
        header_tiles=_header_tiles(report),
        cautions=caution(report),
        start=report.outline.start,
        best=_best(report, data),
        history=_history(report, frame, data),
        importances=_importances(report, data),
        slices=_slices(report, data) if known else [],
        pairs=_pairs(report, data) if known else None,
        tables=[(key, document, grid_views(document)) for key, document in documents],
        sources=list(facts.items()),
        source_names=list(facts),
    )


def _header_tiles(report: SweepReport) -> list[tuple[str, str, str]]:
    """Return the best value of each goal beside the starting point, and how many trials there are."""
    outline, trials = report.outline, report.trials
    known, tiles = complete(outline, trials), []
    start = known[known["number"] == outline.start]
    for goal, (metric, direction) in enumerate(outline.goals):
        values = goal_values(known, goal)
        if not values:
            tiles.append((metric, NONE, "no trial is complete"))
            continue
        best = max(values) if direction == "maximize" else min(values)
        where = known["number"].tolist()[values.index(best)]
        tiles.append((f"best {metric}", f"{best:.2f}", f"trial {where}, on the search split"))
        if len(start):
            own = goal_values(start, goal)[0]
            tiles.append(("starting point", f"{own:.2f}", f"trial {outline.start}; best {best - own:+.2f}"))
    states = tally(trials)
    others = ", ".join(f"{n} {state}" for state, n in states.items() if state != "complete")
    tiles.append(("complete trials", str(states.get("complete", 0)), others))
    shown = summary(report)
    if "pruning" in shown:
        iterations, _, share = shown["pruning"].rpartition(" (")
        tiles.append(("saved by pruning", share.rstrip(")"), iterations))
    return tiles


def _best(report: SweepReport, data: Data) -> dict[str, Any]:
    """Return the table of the best trials, with the starting point last, and the front where there are two goals."""
    numbers, start = list(report.best), report.outline.start
    with_start = bool(numbers) and start not in numbers and (report.trials["number"] == start).any()
    heads, rows = trial_grid(report, [*numbers, start] if with_start and start is not None else numbers)
    cards = []
    if len(report.outline.goals) > 1 and numbers:
        caption = "no other trial is at least as good by all goals and better by one"
        cards.append(add_chart(data, "front", front_chart(report), "Pareto front", caption))
    return {"cards": cards, "heads": heads, "rows": rows, "with_start": with_start}


def _history(report: SweepReport, frame: DataFrame | None, data: Data) -> list[ChartCard]:
    """Return the cards of each goal over the trials, and of the trials over training."""
    cards = [
        add_chart(data, f"history-{goal}", history_chart(report, goal), f"{metric} over the trials")
        for goal, (metric, _) in enumerate(report.outline.goals)
    ]
    courses = None if frame is None else course_chart(report, frame)
    if courses is not None:
        caption = "one line per trial; a pruned trial ends where it was stopped"
        cards.append(add_chart(data, "courses", courses, "Over training", caption))
    return cards


def _importances(report: SweepReport, data: Data) -> dict[str, Any]:
    """Return charts and tables of importances, and what they are."""
    goals = []
    for number, (metric, _) in enumerate(report.outline.goals if report.importances else ()):
        card = add_chart(data, f"importance-{number}", importance_chart(report, metric), metric)
        goals.append((card, importance_grid(report, metric)))
    about = importance_about(report) if report.importances else ""
    return {"missing": report.missing, "about": about, "goals": goals}


def _slices(report: SweepReport, data: Data) -> list[ChartCard]:
    """Return the cards of each goal over each parameter."""
    cards: list[ChartCard] = []
    for goal, (metric, _) in enumerate(report.outline.goals):
        for axis in report.outline.axes:
            title = axis.label if len(report.outline.goals) == 1 else f"{axis.label}: {metric}"
            cards.append(add_chart(data, f"slice-{goal}-{len(cards)}", slice_chart(report, axis, goal), title))
    return cards


def _pairs(report: SweepReport, data: Data) -> dict[str, Any]:
    """Return contours over pairs of the parameters that matter most, and parallel coordinates of all parameters."""
    axes = {axis.name: axis for axis in report.outline.axes}
    order = list(dict.fromkeys([*(one.axis for one in report.importances), *axes]))
    known = complete(report.outline, report.trials)
    numeric = [axes[name] for name in order if axes[name].low is not None and axes[name].column in known][:PAIRS]
    contours: list[ChartCard] = []
    for one, other in itertools.combinations(numeric, 2):
        chart = contour_chart(report, one, other)
        if chart.data[0].type == "contour":  # trials on a line have no surface
            contours.append(add_chart(data, f"contour-{len(contours)}", chart, f"{one.label} and {other.label}"))
    caption = "one line per complete trial, the best one thick; a point names its trial"
    parallel = add_chart(data, "parallel", parallel_chart(report), "All parameters", caption)
    return {"metric": report.outline.goals[0][0], "contours": contours, "parallel": parallel}


def _trials(report: SweepReport, folder: Path) -> dict[str, Any]:
    """Return the table of all trials for the page's script."""
    outline, rows = report.outline, []
    for _, row in report.trials.sort_values("number").iterrows():
        own = Path(row["folder"]) / PAGE if row["folder"] else None
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
    return {"heads": ["trial", "state", *goals, *labels, "iteration", "seconds", "run", "reason"], "rows": rows}
