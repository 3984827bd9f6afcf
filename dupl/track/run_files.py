"""What is logged to wandb from the files of a run: settings, the last and best of every scalar, evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dupl.config import catalogue
from dupl.runs import layout
from dupl.runs.config import read_config_values
from dupl.runs.evaluation_files import read_metrics
from dupl.runs.files import read_csv
from dupl.runs.run import Run
from dupl.track.choice import RunNames, identity
from dupl.track.records import Picture, TrackedTable
from dupl.track.wandb_like import of_mode

TEXT = ("map", "class")  # columns of text in the tables of an evaluation
LOWER = ("loss", "L_", "seconds", "memory_GiB")  # starts of scalars that are better when lower, beside OA
HIGHER = ("mIoU", "mAP", "F1", "precision", "recall", "coverage")  # what is better when higher is called so
FILES = (layout.CONFIG, layout.STATUS)  # copied with the run


def better(name: str) -> Callable[[float, float], float] | None:
    """Return the function that keeps the better value of a scalar, max or min; None where neither is better."""
    last = name.rsplit("/", 1)[-1]
    if name.startswith(LOWER) or last == "OA" or last == "disagreement":
        return min
    return max if last.startswith(HIGHER) or last == "filter_precision" else None


def improve(best: dict[str, float], row: Mapping[str, Any]) -> dict[str, float]:
    """Update the best scalars so far with a row, and return those that it improves."""
    improved = {}
    for name, value in row.items():
        choice = better(name)
        if choice is None or not isinstance(value, (int, float)):
            continue
        if value == 0 and name.startswith("L_"):  # a term that has not started
            continue
        if name not in best or choice(best[name], value) != best[name]:
            improved[name] = best[name] = value
    return improved


def named_best(best: Mapping[str, float]) -> dict[str, float]:
    """Return the best scalars under their names in a summary."""
    return {f"best/{name}": value for name, value in best.items()}


def summary(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the last value of every scalar, and the best one where there is a better."""
    last: dict[str, float] = {}
    best: dict[str, float] = {}
    for row in rows:
        last |= {name: value for name, value in row.items() if value is not None}
        improve(best, row)
    return last | named_best(best)


def settings(run: Run, called: RunNames, mode: str) -> dict[str, Any]:
    """Return what a `Tracker` needs to begin a run on wandb, or to resume it.

    Args:
        run: Of which.
        called: Names of a run that is not on wandb yet.
        mode: "offline", "online" or "trackio".

    Raises:
        UserError: The folder holds no run, or a corrupt one.
        OSError: The folder cannot be written to.
    """
    status = run.status
    config = read_config_values(run.path)
    with_code = bool(config.get("runtime", {}).get("track", {}).get("code", False))
    files = (*FILES, layout.CHANGES) if with_code else FILES
    facts = {"fingerprint": status.fingerprint, "folder": run.path.name, "versions": status.versions}
    return {
        **identity(run.path, status.fingerprint, called, of_mode(mode).record),
        "mode": mode,
        "config": {**config, "run": {**facts, "dirty": status.dirty}},
        "commit": status.commit,
        "reached": status.iteration,
        "files": [str(run.path / name) for name in files],
        "code": str(Path(catalogue.PACKAGE)) if with_code else None,
    }


def class_table(evaluation: Path) -> TrackedTable | None:
    """Return the figures per class of an evaluation; None where there are none."""
    return _table(evaluation / layout.PER_CLASS)


def class_history(run: Path) -> TrackedTable | None:
    """Return the figures per class of all evaluations during training, with their iterations; None without any."""
    parts = [(done, class_table(folder)) for done, folder in layout.trained_evaluations(run)]
    tables = [(done, table) for done, table in parts if table is not None]
    columns = list(dict.fromkeys(name for _, table in tables for name in table.columns))
    rows = [(done, dict(zip(table.columns, row, strict=True))) for done, table in tables for row in table.rows]
    found = [[done, *(row.get(name) for name in columns)] for done, row in rows]
    return TrackedTable(["iter", *columns], found) if found else None


def _table(file: Path) -> TrackedTable | None:
    if not file.is_file():
        return None
    rows = read_csv(file)
    numbers = [
        {name: cell if name in TEXT else float(cell) if cell else None for name, cell in r.items()} for r in rows
    ]
    return TrackedTable(list(rows[0]) if rows else [], [list(row.values()) for row in numbers])


def evaluation_row(folder: Path) -> dict[str, Any]:
    """Return what ``dupl eval`` wrote as a row: figures, tables and the picture page, named by split and protocol.

    Args:
        folder: Of one protocol.

    Raises:
        UserError: It holds no evaluation, or a corrupt one.
    """
    facts, metrics = read_metrics(folder)
    lead = f"{facts['split']}/{facts['name'].replace('.', '_')}"  # to wandb a dot is the border of a nested value
    row: dict[str, Any] = {f"{lead}/{name}": value for name, value in metrics.items() if value == value}
    for name, top in (facts.get("best_threshold") or {}).items():
        row[f"{lead}/{name}/best_threshold"] = top["threshold"]
    if facts.get("iter") is not None:
        row |= {"iter": facts["iter"], f"{lead}/iter": facts["iter"]}
    tables = {"classes": class_table(folder), "thresholds": _table(folder / layout.THRESHOLDS)}
    row |= {f"{lead}/{name}": table for name, table in tables.items() if table is not None}
    if (file := folder / layout.PICTURES).is_file():
        with Image.open(file) as page:
            row[f"{lead}/pictures"] = [Picture(np.asarray(page.convert("RGB")), str(facts["protocol"]))]
    return row
