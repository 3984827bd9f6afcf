"""The page of a sweep: its best trials, importances, charts of the search, and every trial in a table that sorts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.report.pages.html import FILE, ChartCard, Site, add_chart, render
from dupl.report.pages.sweep_trials import trial_table
from dupl.report.pages.table_view import grid_views
from dupl.report.sweep.charts import history_chart, parallel_chart, slice_chart
from dupl.report.sweep.contour import contour_chart
from dupl.report.sweep.other_charts import course_chart, front_chart, importance_chart
from dupl.report.sweep.summary import SweepReport
from dupl.report.sweep.text import (
    best_title,
    best_with_start,
    cautions,
    importance_about,
    importance_grid,
    summary,
    trial_grid,
)
from dupl.report.sweep.trials import NONE, count_states, goal_values
from dupl.report.tables.layout import layout
from dupl.report.tables.table import Table

if TYPE_CHECKING:
    from pandas import DataFrame

PAIRS = 4  # parameters whose pairs have a contour
Data = dict[str, Any]


def sweep_page(
    report: SweepReport,
    frame: DataFrame | None = None,
    tables: Sequence[Table] = (),
    folder: str | Path = ".",
    site: Site = FILE,
) -> str:
    """Return the page of a sweep as HTML.

    Args:
        report: Of the sweep.
        frame: Metrics of the trials' runs, for their curves over training; without it the page has none.
        tables: Of plans, from the sweep's trials.
        folder: Where the page will be written, for links to the pages of the runs.
        site: Where the page stands.
    """
    data: Data = {"plots": {}, "tables": {"trials": trial_table(report, Path(folder), site)}}
    documents = [(f"table-{k}", layout(table)) for k, table in enumerate(tables, 1)]
    sections = {"best": best_title(report), "history": "History", "importances": "Importances"}
    sections |= {"slices": "Slices", "pairs": "Parameters together"} if report.complete else {}
    sections |= {key: document.title for key, document in documents}
    facts = summary(report)
    return render(
        "sweep.html",
        report.sweep.title,
        data,
        site,
        sections=sections | {"trials": "Trials", "sources": "Provenance"},
        header_tiles=_header_tiles(report),
        cautions=cautions(report),
        best=_best(report, data),
        history=_history(report, frame, data),
        importances=_importances(report, data),
        slices=_slices(report, data) if report.complete else [],
        pairs=_pairs(report, data) if report.complete else None,
        tables=[(key, document, grid_views(document)) for key, document in documents],
        sources=list(facts.items()),
        source_names=list(facts),
    )


def _header_tiles(report: SweepReport) -> list[tuple[str, str, str]]:
    """Return the best value of each goal beside the starting point, and how many trials there are."""
    known, tiles = report.complete, []
    for goal, (metric, direction) in enumerate(report.goals):
        values = goal_values(known, goal)
        if not values:
            tiles.append((metric, NONE, "no trial is complete"))
            continue
        best = max(values) if direction == "maximize" else min(values)
        where = known[values.index(best)].number
        tiles.append((f"best {metric}", f"{best:.2f}", f"trial {where}, on the search split"))
        if report.start in known:
            own = values[known.index(report.start)]
            tiles.append(("starting point", f"{own:.2f}", f"trial {report.start.number}; best {best - own:+.2f}"))
    states = count_states(report.trials)
    others = ", ".join(f"{n} {state}" for state, n in states.items() if state != "complete")
    tiles.append(("complete trials", str(states.get("complete", 0)), others))
    if pruning := summary(report).get("pruning"):
        iterations, _, share = pruning.rpartition(" (")
        tiles.append(("saved by pruning", share.rstrip(")"), iterations))
    return tiles


def _best(report: SweepReport, data: Data) -> dict[str, Any]:
    """Return the table of the best trials, with the starting point last, and the front where there are two goals."""
    shown = best_with_start(report)
    heads, rows = trial_grid(report, shown)
    cards = []
    if len(report.goals) > 1 and shown:
        caption = "no other trial is at least as good by all goals and better by one"
        cards.append(add_chart(data, "front", front_chart(report), "Pareto front", caption))
    start = shown[-1].number if len(shown) > len(report.best) else None
    return {"cards": cards, "heads": heads, "rows": rows, "start": start}


def _history(report: SweepReport, frame: DataFrame | None, data: Data) -> list[ChartCard]:
    """Return the cards of each goal over the trials, and of the trials over training."""
    cards = [
        add_chart(data, f"history-{goal}", history_chart(report, goal), f"{metric} over the trials")
        for goal, (metric, _) in enumerate(report.goals)
    ]
    courses = None if frame is None else course_chart(report, frame)
    if courses is not None:
        caption = "one line per trial; a pruned trial ends where it was stopped"
        cards.append(add_chart(data, "courses", courses, "Over training", caption))
    return cards


def _importances(report: SweepReport, data: Data) -> dict[str, Any]:
    """Return charts and tables of importances, and what they mean."""
    goals = []
    for number, (metric, _) in enumerate(report.goals if report.importances else ()):
        card = add_chart(data, f"importance-{number}", importance_chart(report, metric), metric)
        goals.append((card, importance_grid(report, metric)))
    about = importance_about(report) if report.importances else ""
    return {"missing": report.missing, "about": about, "goals": goals}


def _slices(report: SweepReport, data: Data) -> list[ChartCard]:
    """Return the cards of each goal over each parameter."""
    cards: list[ChartCard] = []
    for goal, (metric, _) in enumerate(report.goals):
        for parameter in report.parameters:
            title = parameter.label if len(report.goals) == 1 else f"{parameter.label}: {metric}"
            cards.append(add_chart(data, f"slice-{goal}-{len(cards)}", slice_chart(report, parameter, goal), title))
    return cards


def _pairs(report: SweepReport, data: Data) -> dict[str, Any]:
    """Return contours over pairs of the parameters that matter most, and parallel coordinates of all parameters."""
    order = list(dict.fromkeys([*(one.parameter for one in report.importances), *report.sweep.space]))
    varied = {name for trial in report.complete for name in trial.params}
    numeric = [p for name in order if (p := report.sweep.space[name]).type != "categorical" and name in varied][:PAIRS]
    contours: list[ChartCard] = []
    for one, other in itertools.combinations(numeric, 2):
        chart = contour_chart(report, one, other)
        if chart.data[0].type == "contour":  # trials on a line have no surface
            contours.append(add_chart(data, f"contour-{len(contours)}", chart, f"{one.label} and {other.label}"))
    caption = "one line per complete trial, the best one thick; a point shows its trial"
    parallel = [
        add_chart(data, f"parallel-{goal}", parallel_chart(report, goal), f"All parameters: {metric}", caption)
        for goal, (metric, _) in enumerate(report.goals)
    ]
    return {"metric": report.goals[0][0], "contours": contours, "parallel": parallel}
