"""The curves of a run's page: every logged scalar, grouped into charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dupl.report.figures.start_markers import start_markers
from dupl.report.figures.training_curves import line_chart, share_chart
from dupl.report.pages.html import ChartCard, add_chart
from dupl.report.pages.run_files import RunFiles
from dupl.report.tables.evaluation import title_of

SPEED = {"seconds": ("Seconds per iteration", "s"), "memory_GiB": ("Peak memory of the GPU", "GiB")}
MAPS = {"cam": "CAM", "aux_cam": "Auxiliary CAM", "seg": "Segmentation"}
KNOWN = {
    "tau_h": ("Threshold tau_h", "on a CAM in [0, 1]"),
    "lr": ("Learning rate", ""),
    "loss": ("Loss (Eq. 9) and its unweighted terms", ""),
    "pixels": ("Pixels: supervised, filtered, undecided", "% of pixels"),
    "cls/mAP": ("Classification, mAP", "%"),
    "cls/F1": ("Classification, F1", "%"),
    "noise/means": ("Noise filter: mean losses of the mixtures", "loss"),
    "noise/apart": ("Noise filter: images with filtered pixels", "% of images"),
    "noise/share": ("Noise filter: labelled pixels that are filtered", "% of labelled pixels"),
}
SHARES = ("noise/apart", "noise/share")  # shown in percent
QUALITY = "Pseudo-labels of training images"


@dataclass
class Chart:
    """Scalars that share a chart.

    Attributes:
        title: Of the chart.
        unit: Of the values.
        names: Key of each line by its label.
        smooth: Whether a page may smooth the lines.
        factor: Multiplies all values: 100 for shares in percent.
    """

    title: str
    unit: str
    names: dict[str, str]
    smooth: bool = False
    factor: float = 1


def charts(keys: Sequence[str]) -> dict[str, Chart]:
    """Return the charts of a run by name, in the order of the page.

    Args:
        keys: Of all scalars; "iter" and those about speed are left out.
    """
    found: dict[str, Chart] = {}
    for key in keys:
        if key == "iter" or key in SPEED or "/best/" in key:
            continue
        name, label = _place(key)
        if name not in found:
            title, unit = _title(name)
            found[name] = Chart(title, unit, {}, smooth=name == "loss", factor=100 if name in SHARES else 1)
        found[name].names[label] = key
    order = ("seg/mIoU-", "seg/mIoU", "cam/mIoU-", "cam/mIoU", "cam/OA", "seg/OA", "loss", "pixels", "tau_h", "noise")
    rank = {name: next((i for i, start in enumerate(order) if name.startswith(start)), 99) for name in found}
    return {name: found[name] for name in sorted(found, key=lambda name: rank[name])}


def _place(key: str) -> tuple[str, str]:
    """Return the chart to which a scalar belongs, and the label of its line."""
    parts = key.split("/")
    if key == "loss" or key.startswith("L_"):
        return "loss", key
    if parts[0] in ("cam", "seg", "cls") and len(parts) == 3:
        label = title_of(f"{parts[0]}/{parts[1]}").split(", ", 1)[1]
        return f"{parts[0]}/{parts[2]}", label
    if parts[0] == "detector":
        return f"detector/{'/'.join(parts[2:])}", f"student {parts[1]}"
    students = [part for part in parts if part in ("1", "2")]
    if parts[0] == "noise" and parts[-1].startswith("mean_"):
        return "noise/means", f"{parts[-1].removeprefix('mean_')}, student {parts[1]}"
    if students:
        return "/".join(part for part in parts if part not in students), f"student {students[0]}"
    if parts[0] in ("quality", "noise"):
        return key, "both students"
    return (parts[0], "/".join(parts[1:])) if len(parts) > 1 else (key, key)


def _title(name: str) -> tuple[str, str]:
    if name in KNOWN:
        return KNOWN[name]
    kind, _, metric = name.partition("/")
    if kind in MAPS:
        return f"{MAPS[kind]}, {'OA rate' if metric == 'OA' else metric}", "%"
    if kind == "quality":
        return f"{QUALITY}: {metric.replace('_', ' ')}", "%"
    if kind == "detector":
        return f"Detector of misled students: {metric}", "above 0.5 the CAM explains the class"
    return name, ""


def rows_to_draw(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows without the zeros that a loss term has before it starts."""
    begun: set[str] = set()
    kept = []
    for row in rows:
        begun |= {key for key, value in row.items() if value}
        kept.append({key: value for key, value in row.items() if key in begun or not key.startswith("L_")})
    return kept


def curves(run: RunFiles, data: dict[str, Any]) -> dict[str, Any]:
    """Return the cards of all curves, whose charts go to ``data``, and what the section says of them."""
    keys = list(dict.fromkeys(key for row in run.rows for key, value in row.items() if value is not None))
    starts = start_markers(run.config) if {"model", "schedule"} <= run.config.keys() else {}
    rows, cards = rows_to_draw(run.rows), []
    for number, (name, chart) in enumerate(charts(keys).items()):
        if name == "pixels":
            drawn = share_chart(rows, chart.names, starts)
        else:
            drawn = line_chart(rows, chart.names, chart.unit, starts, chart.smooth, chart.factor)
        cards.append(add_chart(data, f"curve-{number}", drawn, chart.title))
    return {"cards": cards, "starts": bool(starts), "evaluated": any("/mIoU" in key for key in keys)}


def speed_cards(run: RunFiles, data: dict[str, Any]) -> list[ChartCard]:
    """Return the cards of the charts about speed and memory that have a value."""
    return [
        add_chart(data, f"speed-{key}", line_chart(run.rows, {title: key}, unit), title)
        for key, (title, unit) in SPEED.items()
        if any(row.get(key) is not None for row in run.rows)
    ]
