"""Tables of one evaluation for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from dupl.runs.evaluation_files import ClassRow
from dupl.runs.judged import Judged
from dupl.terminal import printable, safe_console

KINDS = {"cam": "CAM", "seg": "Seg"}
WHO = {"mean": "both averaged", "best": "better student"}


def title_of(name: str) -> str:
    """Return a kind of label map in words: "cam/1" is "CAM, student 1", "seg/mean" is "Seg, both averaged"."""
    kind, who = name.split("/")
    return f"{KINDS.get(kind, kind)}, {WHO.get(who, f'student {who}')}"


def figure(value: float) -> str:
    """Write a number with one decimal; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.1f}"


def maps_of(metrics: Mapping[str, float]) -> list[str]:
    """Return the label maps that metrics are about: CAMs first, students before their mean."""
    names = {"/".join(k.split("/")[:2]) for k in metrics if k.split("/")[0] in KINDS}
    return sorted(names - {f"{kind}/best" for kind in KINDS})


def summary_table(metrics: Mapping[str, float], reference: Mapping[str, float] | None = None) -> Table:
    """Return mIoU, its variants and the mean OA rate of each label map as a table.

    With two students, a further row holds the better one, per metric.

    Args:
        metrics: By name (``cam/1/mIoU``), percent.
        reference: Further rows of mIoU by their label, such as a measured ceiling.
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
            table.add_row(title_of(f"{kind}/best"), *map(figure, values), "–", style="bold")
    for text, value in (reference or {}).items():
        table.add_row(text, figure(value), *["–"] * len(extra), "–", style="dim")
    return table


def class_table(rows: Sequence[ClassRow]) -> Table:
    """Return IoU per class of each label map as a table, without the classes that `absent_classes` names."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        cells.setdefault(row.class_name, {})[row.label_map] = figure(row.iou)
    absent = absent_classes(rows)
    maps = sorted({name for of_class in cells.values() for name in of_class})
    table = Table()
    table.add_column("class", no_wrap=True)
    for name in maps:
        kind, who = name.split("/")
        table.add_column(f"{KINDS[kind]} {who}", justify="right", no_wrap=True)
    for class_name, of_class in cells.items():
        if class_name not in absent:
            table.add_row(escape(printable(class_name)), *(of_class.get(name, "–") for name in maps))
    return table


def absent_classes(rows: Sequence[ClassRow]) -> list[str]:
    """Return the classes without an IoU in any label map: those that occur in no image."""
    there = {row.class_name for row in rows if not math.isnan(row.iou)}
    return list(dict.fromkeys(row.class_name for row in rows if row.class_name not in there))


def print_evaluation(
    metrics: Mapping[str, float],
    rows: Sequence[ClassRow],
    title: str,
    judged: Judged | None,
    reference: Mapping[str, float] | None = None,
) -> None:
    """Print both tables, each below its title, and the classification metrics to standard output.

    Args:
        metrics: As `summary_table` takes them.
        rows: As `class_table` takes them.
        title: Data, checkpoint and protocol.
        judged: Images and classes with truth, of all; None where that was not recorded.
        reference: As `summary_table` takes it.
    """
    console = safe_console(highlight=False)
    tables = (summary_table(metrics, reference), ""), (class_table(rows), "IoU per class; ")
    for table, what in tables if maps_of(metrics) else ():
        note = "percent; –: no pixel in the truth" if what else f"percent; {judged}" if judged else "percent"
        console.print(printable(f"{what}{title} ({note})"), style="italic", markup=False, soft_wrap=True)
        console.print(table)
    if absent := absent_classes(rows):
        console.print(printable(f"in no image: {', '.join(absent)}"), markup=False, soft_wrap=True)
    tags = [f"{_who(k)} {k.split('/')[2]} {figure(v)}" for k, v in metrics.items() if k.startswith("cls/")]
    if tags:
        about = "" if maps_of(metrics) else f"; {title}"
        console.print(printable(f"classification: {', '.join(tags)}{about}"), markup=False, soft_wrap=True)


def _who(metric: str) -> str:
    """Return whose scores a metric of tags is about."""
    who = metric.split("/")[1]
    return "both averaged" if who == "mean" else f"student {who}"
