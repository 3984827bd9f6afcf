"""Tables of one evaluation for the terminal."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dupl import cells
from dupl.errors import UserError
from dupl.terminal import printable

KINDS = {"cam": "CAM", "seg": "Seg"}


def title_of(name: str) -> str:
    """What a person calls a kind of label map: "cam/1" is "CAM, student 1", "seg/mean" is "Seg, both averaged"."""
    kind, who = name.split("/")
    return f"{KINDS.get(kind, kind)}, {'both averaged' if who == 'mean' else f'student {who}'}"


def figure(value: float) -> str:
    """One decimal; a dash where there is no number."""
    return "–" if math.isnan(value) else f"{value:.1f}"


def maps_of(metrics: Mapping[str, float]) -> list[str]:
    """The label maps that metrics speak of: CAMs first, students before their mean."""
    names = {"/".join(k.split("/")[:2]) for k in metrics if k.split("/")[0] in KINDS}
    return sorted(names - {f"{kind}/best" for kind in KINDS})


def read_evaluation(folder: Path) -> tuple[dict[str, float], list[tuple[Any, ...]]]:
    """Metrics by name and the rows of per_class.csv, from an evaluation's folder; NaN where a figure is missing.

    Raises:
        UserError: The files are missing or damaged.
    """
    try:
        metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
        with open(folder / "per_class.csv", newline="") as file:
            rows = [(row[0], cells.read(row[1]), *map(_number, row[2:])) for row in list(csv.reader(file))[1:]]
        return {name: math.nan if value is None else float(value) for name, value in metrics.items()}, rows
    except (OSError, ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
        raise UserError(f"{folder} holds no whole evaluation ({error}): run dupl eval") from error


def _number(cell: str) -> float:
    value = float(cell) if cell else math.nan
    if abs(value) >= 2**53:  # beyond counts of pixels, and what a page computes with
        raise ValueError(f"{cell[:40]} is no such number")
    return value


def summary_table(metrics: Mapping[str, float], reference: Mapping[str, float] | None = None) -> Table:
    """mIoU, its variants and mean over-activation of every label map; of two students the better one, per metric, too.

    Args:
        metrics: By name (``cam/1/mIoU``), percent.
        reference: Further rows of mIoU by their text, such as a measured ceiling.
    """
    extra = sorted({k.split("/")[2] for k in metrics if k.split("/")[2].startswith("mIoU-")})
    table = Table()
    table.add_column("label map")
    for column in ("mIoU", *extra, "OA rate"):
        table.add_column(column, justify="right")
    for name in maps_of(metrics):
        values = (metrics[f"{name}/{metric}"] for metric in ("mIoU", *extra, "OA"))
        table.add_row(title_of(name), *map(figure, values))
    for kind in KINDS:
        if len([name for name in maps_of(metrics) if name.startswith(kind) and not name.endswith("mean")]) > 1:
            values = (metrics[f"{kind}/best/{metric}"] for metric in ("mIoU", *extra))
            table.add_row(f"{KINDS[kind]}, better student", *map(figure, values), "–", style="bold")
    for text, value in (reference or {}).items():
        table.add_row(text, figure(value), *["–"] * len(extra), "–", style="dim")
    return table


def class_table(rows: Sequence[Sequence[Any]]) -> Table:
    """IoU per class of every label map, from rows as in per_class.csv (map, class, IoU, ...), but `absent_classes`."""
    cells: dict[str, dict[str, str]] = {}
    for name, class_name, iou, *_ in rows:
        cells.setdefault(class_name, {})[name] = figure(iou)
    absent = absent_classes(rows)
    maps = sorted({name for row in cells.values() for name in row})
    table = Table()
    table.add_column("class", no_wrap=True)
    for name in maps:
        kind, who = name.split("/")
        table.add_column(f"{KINDS[kind]} {who}", justify="right", no_wrap=True)
    for class_name, row in cells.items():
        if class_name not in absent:
            table.add_row(escape(printable(class_name)), *(row.get(name, "–") for name in maps))
    return table


def absent_classes(rows: Sequence[Sequence[Any]]) -> list[str]:
    """The classes without an IoU in any label map: those that no image has."""
    there = {row[1] for row in rows if not math.isnan(row[2])}
    return list(dict.fromkeys(row[1] for row in rows if row[1] not in there))


def print_evaluation(
    metrics: Mapping[str, float],
    rows: Sequence[Sequence[Any]],
    title: str,
    reference: Mapping[str, float] | None = None,
) -> None:
    """Print both tables, each below its title, and the classification figures to standard output.

    Args:
        metrics: As ``summary_table`` has them.
        rows: As ``class_table`` has them.
        title: Names data, checkpoint and protocol.
        reference: As ``summary_table`` has it.
    """
    console = Console(highlight=False)
    tables = (summary_table(metrics, reference), ""), (class_table(rows), "IoU per class; ")
    for table, what in tables:
        note = "percent; –: no pixel in the truth" if what else "percent"
        console.print(printable(f"{what}{title} ({note})"), style="italic", markup=False, soft_wrap=True)
        console.print(table)
    if absent := absent_classes(rows):
        console.print(printable(f"in no image: {', '.join(absent)}"), markup=False, soft_wrap=True)
    tags = [f"student {k.split('/')[1]} {k.split('/')[2]} {figure(v)}" for k, v in metrics.items() if k[:4] == "cls/"]
    if tags:
        console.print(f"classification: {', '.join(tags)}")
