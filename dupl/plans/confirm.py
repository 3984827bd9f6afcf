"""The end of a sweep: a plan of its best points and the paper's, judged on data that the search never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dupl.config import catalogue
from dupl.errors import UserError
from dupl.plans.plan_file import merge
from dupl.plans.study import FOLDER
from dupl.plans.sweep import HOURS, Sweep

PAPER = "paper"  # key of the row that differences are against

Told = tuple[int, Mapping[str, Any], Sequence[float]]


def confirm_file(sweep: Sweep, root: str | Path) -> Path:
    """Where the plan is kept; as long as it is there, no other points are chosen."""
    return Path(root) / FOLDER / f"{sweep.study}-confirm.py"


def confirm_text(sweep: Sweep, best: Sequence[Told], count: int, seeds: Sequence[int]) -> str:
    """The plan file.

    Args:
        sweep: Whose.
        best: Number, parameters and values of trials, the best first, each point once.
        count: Of points besides the paper's.
        seeds: Each point is trained with each.

    Raises:
        UserError: No trial has a value yet.
    """
    start = sweep.run(sweep.start_from[0])
    chosen = [one for one in best if sweep.run(one[1]).fingerprint != start.fingerprint][:count]
    if not chosen:
        raise UserError(f"{sweep.name}: no trial besides the paper's point is complete: run dupl sweep first")
    rows = {PAPER: dict(label="The paper's point", set=sweep.changes(sweep.start_from[0]))}
    for number, params, _ in chosen:
        label = f"Trial {number}: {sweep.run(params).row}"
        rows[f"trial_{number}"] = dict(label=label, set=sweep.changes(params))
    columns = {
        f"goal_{i}": dict(label=metric, metric=metric) for i, (metric, _) in enumerate(sweep.goal) if metric != HOURS
    }
    values = dict(
        base=sweep.base,
        seeds=list(seeds),
        set=merge(sweep.set, sweep.report),
        columns=columns,
        rows=rows,
        compare=PAPER,
        reference="Points were chosen on the search split; this table is of the report split.",
    )
    return f'"""Best points of the sweep {sweep.name} beside the paper\'s."""\n\n{catalogue.to_text(values)}'
