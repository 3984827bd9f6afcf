"""The first page of the board: every run in a table with filter, sort and groups, and the plans and sweeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from dupl.board.site import Addresses, BoardSite
from dupl.board.store_view import StoreView, now
from dupl.board.template import template
from dupl.execute.time_remaining import clock
from dupl.report.pages.html import render
from dupl.report.tables.evaluation import figure
from dupl.runs.listing import RunLine

METRICS = {"Seg mIoU": ["seg/best/mIoU"], "CAM mIoU": ["cam/best/mIoU"], "mAP": ["cls/mean/mAP", "cls/1/mAP"]}
GROUPS = ("plan", "row", "recipe", "state", "seed")
LONGEST = 1e9  # seconds that a run may take, thirty years; more is an error of its files
MOST = 12  # problems that are shown


def run_list(view: StoreView, addresses: Addresses, tag: str) -> str:
    """Return the first page as HTML."""
    lines = view.look()
    plans, sweeps = view.called("ablate"), view.called("sweep")
    sections = {"runs": "Runs"} | ({"plans": "Plans"} if plans else {}) | ({"sweeps": "Sweeps"} if sweeps else {})
    states = Counter(line.state for line in lines.values())
    problems = view.problems[:MOST]
    if len(view.problems) > MOST:
        problems.append(f"and {len(view.problems) - MOST} more that cannot be read: dupl runs names them")
    site = BoardSite(addresses, tag, view.names)
    return render(
        template("runs.html"),
        f"Runs in {view.store.root}",
        {"plots": {}, "tables": {}, "board": board_data(lines, addresses, view.warnings)},
        site,
        sections=sections,
        count=len(lines),
        states=list(states),
        groups=GROUPS,
        header_tiles=[("runs", f"{len(lines):,}", ""), *((state, f"{n:,}", "") for state, n in states.items())],
        problems=problems,
        plans=[(name, addresses.plan(name), _minute(when)) for name, when in plans.items()],
        sweeps=[(name, addresses.sweep(name), _minute(when)) for name, when in sweeps.items()],
    )


def board_data(
    lines: Mapping[str, RunLine], addresses: Addresses, warnings: Mapping[str, list[str]] | None = None
) -> dict[str, Any]:
    """Return the table of runs for the page's script: what it shows, sorts, filters and groups by."""
    found = warnings or {}
    shown = [title for title in METRICS if any(_value(line, title) is not None for line in lines.values())]
    heads = [{"text": "run", "left": True}, {"text": "state", "left": True}, {"text": "iteration"}]
    heads += [{"text": "time remaining"}, *({"text": title, "mean": True} for title in shown)]
    heads += [{"text": "seed"}, {"text": "plan: row", "left": True}, {"text": "last seen (UTC)"}]
    heads += [{"text": "warnings", "left": True}] if found else []
    rows = []
    for name, line in lines.items():
        row = _row(name, line, shown, addresses)
        if found:
            text = "; ".join(found.get(name, []))
            row["cells"].append({"value": text or None, "text": text, "left": True, "wide": True})
        rows.append(row)
    return {"heads": heads, "rows": rows}


def _value(line: RunLine, title: str) -> float | None:
    """Return the metric of a column: of all students together, else of the only one."""
    return next((line.metrics[key] for key in METRICS[title] if line.metrics.get(key) is not None), None)


def _row(name: str, line: RunLine, shown: list[str], addresses: Addresses) -> dict[str, Any]:
    done, pace = now(line)
    share = 100 * done / line.iterations if line.iterations else 0
    left = pace * (line.iterations - done) if pace and line.iterations else None
    if left is not None and not 0 <= left < LONGEST:
        left = None
    rows = [f"{plan}: {row}" for plan, row in line.plans]
    seen = datetime.fromtimestamp(line.seen, timezone.utc).strftime("%Y-%m-%d %H:%M")
    values = [_value(line, title) for title in shown]
    cells: list[dict[str, Any]] = [
        {"value": done, "text": _iterations(line, done)},
        {"value": left, "text": "" if left is None else clock(left)},
        *({"value": value, "text": "" if value is None else figure(value)} for value in values),
        {"value": line.seed, "text": str(line.seed)},
        {"value": "; ".join(rows), "text": "; ".join(rows), "left": True},
        {"value": line.seen, "text": seen},
    ]
    if line.state != "finished":
        cells[0]["share"] = round(share, 1)
    groups = {
        "plan": [plan for plan, _ in line.plans] or ["no plan"],
        "row": rows or ["no plan"],
        "recipe": [line.recipe],
        "state": [line.state],
        "seed": [f"seed {line.seed}"],
    }
    return {
        "id": name,
        "name": name,
        "link": addresses.run(name),
        "state": line.state,
        "cells": cells,
        "groups": groups,
        "text": " ".join((name, line.state, line.fingerprint, *rows, f"seed {line.seed}")).lower(),
    }


def _iterations(line: RunLine, done: int) -> str:
    """Return how far a run is; label maps of another program have no iterations."""
    if line.iterations == 0:
        return "label maps"
    return f"{done:,} of {line.iterations:,}" if line.iterations else f"{done:,}"


def _minute(time: str) -> str:
    return f"last asked for at {time[:16].replace('T', ' ')} UTC"
