"""Confirm a sweep: a plan of its best points and the paper's, evaluated on data that the search never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dupl.atomic import atomic_write
from dupl.config import catalogue
from dupl.errors import UserError
from dupl.plans.checks import merge
from dupl.plans.samplers import quiet_optuna
from dupl.plans.study import FOLDER, best_trials, open_study
from dupl.plans.sweep import Sweep
from dupl.plans.sweep_file import HOURS

PAPER = "paper"  # key of the row that the others are compared with

Point = tuple[int, Mapping[str, Any], Sequence[float]]  # number, parameters and values of a trial


def confirm_file(sweep: Sweep, root: str | Path) -> Path:
    """Return the file of the plan; as long as it exists, no other points are chosen."""
    return Path(root) / FOLDER / f"{sweep.study}-confirm.py"


def confirm(
    sweep: Sweep, root: str | Path, count: int, seeds: Sequence[int], storage: str | None = None, write: bool = True
) -> tuple[Path, str, bool]:
    """Choose the best points of a sweep and write the plan that confirms them, unless that was done before.

    Args:
        sweep: The sweep.
        root: The store.
        count: How many points to take besides the starting point.
        seeds: Each point is trained with each.
        storage: URL of the study; None is SQLite in the store.
        write: Whether to write the plan.

    Returns:
        The file, its text, and whether it was there before.

    Raises:
        UserError: There is no study, no trial besides the starting point is complete, or the file is of another recipe.
    """
    path = confirm_file(sweep, root)
    if path.is_file():
        _check_file(path, sweep)
        return path, path.read_text(encoding="utf-8"), True
    with quiet_optuna():
        best = best_trials(sweep, open_study(sweep, storage, root))
    text = confirm_text(sweep, [(t.number, t.params, t.values) for t in best], count, seeds)
    if write:
        atomic_write(path, text)
    return path, text, False


def _check_file(path: Path, sweep: Sweep) -> None:
    """Check that a plan in the store, which may have come with it, trains the recipe of the sweep and no other.

    Raises:
        UserError: It names another recipe, or holds more than literals.
    """
    values = catalogue.declared(path).values
    rows = values["rows"] if isinstance(values.get("rows"), dict) else {}
    bases = [values.get("base"), *(row.get("base") for row in rows.values() if isinstance(row, dict))]
    if other := [base for base in bases if base not in (None, "", sweep.base)]:
        raise UserError(f"{path} trains {other[0]!r}, and the sweep {sweep.base!r}: remove the file to choose again")


def confirm_text(sweep: Sweep, best: Sequence[Point], count: int, seeds: Sequence[int]) -> str:
    """Return the text of the plan file.

    Args:
        sweep: The sweep.
        best: Trials, the best first, each point once.
        count: How many points to take besides the starting point.
        seeds: Each point is trained with each.

    Raises:
        UserError: No trial has a value yet.
    """
    start = sweep.run(sweep.start_from[0])
    chosen = [one for one in best if sweep.run(one[1]).fingerprint != start.fingerprint][:count]
    if not chosen:
        raise UserError(f"{sweep.name}: no trial besides the starting point is complete: run dupl sweep first")
    rows = {PAPER: dict(label="The starting point", set=sweep.changes(sweep.start_from[0]))}
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
