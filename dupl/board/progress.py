"""The page of a plan that fills up: a cell for each row and seed, with what is left to do and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from dupl.board.site import Addresses, BoardSite
from dupl.board.store_view import name_below
from dupl.board.template import template
from dupl.execute.ablation import Ablation
from dupl.execute.preview import preview_facts
from dupl.execute.time_remaining import clock
from dupl.plans.factors import Column
from dupl.plans.plan import Plan
from dupl.report.pages.html import render
from dupl.report.tables.evaluation import figure
from dupl.runs.stored_run import StoredRun
from dupl.terminal import counted

WORDS = {None: "to run", "created": "about to begin"}  # states that a cell says otherwise


@dataclass(frozen=True)
class Cell:
    """The run of a row with a seed.

    Attributes:
        state: Of the run; "" where it is not begun.
        text: Its metric, or else its state.
        note: How far it is and how long it will take.
        percent: Of the iterations that are done.
        address: Of its page; None where it is not begun.
    """

    state: str
    text: str
    note: str
    percent: float
    address: str | None


def plan_progress(ablation: Ablation, site: BoardSite, notes: Sequence[str] = ()) -> str:
    """Return the progress of a plan as HTML.

    Args:
        ablation: The plan compared with the store, as for a dry run.
        site: Where the page stands.
        notes: Lines about which call of the plan is shown.
    """
    plan, facts = ablation.plan, preview_facts(ablation)
    labels = {row.key: row.label for row in plan.rows}
    seeds = sorted({fact["seed"] for fact in facts})
    keys = list(dict.fromkeys(fact["row"] for fact in facts))
    by_place = {(fact["row"], fact["seed"]): fact for fact in facts}
    values = {place: _value(plan, ablation.known.get(fact["fingerprint"])) for place, fact in by_place.items()}
    rows = []
    for key in keys:
        places = [(key, seed) for seed in seeds]
        cells = [_cell(by_place[at], values[at], site.addresses, ablation) if at in by_place else None for at in places]
        known = [value for at in places if (value := values.get(at)) is not None]
        rows.append((labels.get(key, key), cells, f"{figure(mean(known))} ({len(known)})" if known else "–"))
    return render(
        template("progress.html"),
        plan.title,
        {"plots": {}, "tables": {}},
        site,
        sections={"cells": "Runs of each row"},
        header_tiles=_tiles(facts),
        table_address=site.addresses.table(plan.name),
        notes=notes,
        metric=_column(plan).heading,
        seeds=seeds,
        rows=rows,
    )


def _tiles(facts: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Return how many different runs are finished, running and waiting, and the time remaining."""
    runs = {fact["fingerprint"]: fact for fact in facts}.values()
    left = [fact for fact in runs if fact["state"] != "finished"]
    running = sum(fact["state"] == "running" for fact in runs)
    known = [float(fact["seconds_remaining"]) for fact in left if fact["seconds_remaining"] is not None]
    tiles = [("finished", f"{len(runs) - len(left)} of {len(runs)}", counted(len(runs), "different run"))]
    tiles += [("running", str(running), ""), ("failed", str(sum(fact["state"] == "failed" for fact in runs)), "")]
    if not left:
        return [*tiles, ("time remaining", "none", "all runs are finished")]
    if not known:
        return [*tiles, ("time remaining", "unknown", "no similar run tells")]
    at_once = max(1, running)
    whole = max(max(known), sum(known) / at_once)
    least = "" if len(known) == len(left) else "at least "
    return [*tiles, ("time remaining", f"{least}{clock(whole)}", f"with {at_once} at once")]


def _cell(fact: Mapping[str, Any], value: float | None, addresses: Addresses, ablation: Ablation) -> Cell:
    stored, state = ablation.known.get(fact["fingerprint"]), fact["state"]
    done, whole, left = fact["iteration"], fact["iterations"], fact["seconds_remaining"]
    text = WORDS.get(state, state) if value is None else figure(value)
    note = f"{done:,} of {whole:,}" if stored is not None and state != "finished" else ""
    if left and state != "finished":
        note += f"{', ' if note else ''}{clock(left)} left"
    address = addresses.run(name_below(stored.path, ablation.root)) if stored is not None else None
    percent = 100.0 if state == "finished" else 100 * done / whole if whole else 0.0
    return Cell(state or "", text, note, round(percent, 1), address)


def _column(plan: Plan) -> Column:
    """Return the column that the cells show: the first one of a segmentation, else the first one."""
    return next((column for column in plan.columns if column.metric.startswith("seg/")), plan.columns[0])


def _value(plan: Plan, stored: StoredRun | None) -> float | None:
    """Return the plan's shown metric of a run that is evaluated by its protocol; None else."""
    if stored is None or stored.state != "finished":
        return None
    column = _column(plan)
    found = [one for one in stored.evaluations if column.shows(one) and column.judges(one.split)]
    value = found[-1].metrics.get(column.metric) if found else None
    return None if value is None or value != value else value
