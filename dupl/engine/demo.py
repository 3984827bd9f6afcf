"""``dupl demo``: train on embedded scenes, print the table, draw the pictures."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from dupl.engine import build
from dupl.engine.checkpoints import load_weights, newest_valid
from dupl.engine.evaluate import Evaluation, evaluate
from dupl.engine.pictures import run_curves, run_pictures
from dupl.engine.train import train
from dupl.lab.run import Run

# Segmentation mIoU of one student of this recipe trained on the true masks: what pseudo-labels could reach at best.
CEILING = None


def demo(config: Config, folder: Path, *, resume: bool, console: Console) -> Run:
    """Train the demo recipe, evaluate, print the table and write pictures.png and curves.png.

    Args:
        config: The recipe demo/toy, resolved.
        folder: The run's folder.
        resume: Go on with an interrupted demo.
        console: For progress; the table goes to standard output.
    """
    started = time.monotonic()
    run = Run(folder)
    if not (run.exists() and run.status.state == "finished"):
        run = train(config, folder, resume=resume, command=sys.argv, console=console)
    validation = build.build_dataset(config, "val")
    model = build.build_model(
        config, len(validation.classes), build.choose_device(config.runtime.device), pretrained=False
    )
    newest, _ = newest_valid(run.path)
    if newest is not None:
        load_weights(model, newest)
    evaluation = evaluate(model, validation, config.evaluation.to_dict())
    print_table(evaluation, "toy val, single scale")
    caption = "Validation scenes: the ground is independent of the objects. Demo numbers, seconds of training on a CPU."
    pictures = run_pictures(model, validation, config, run, caption)
    curves = run_curves(config, run)
    console.print(f"{time.monotonic() - started:.0f} s in all; look at {pictures} and {curves}", soft_wrap=True)
    return run


def print_table(evaluation: Evaluation, title: str) -> None:
    """CAM and segmentation mIoU and mean over-activation of every student, and per-class IoU of the better one."""
    metrics = evaluation.metrics
    table = Table(title=title, title_justify="left")
    for column in ("map", "mIoU", *(_subset_names(metrics)), "OA rate"):
        table.add_column(column, justify="left" if column == "map" else "right")
    for name in sorted(evaluation.tallies):
        values = [metrics[f"{name}/{m}"] for m in ("mIoU", *_subset_names(metrics), "OA")]
        table.add_row(name, *(f"{v:.1f}" for v in values))
    console = Console()
    console.print(table)
    per_class = Table(title="IoU per class", title_justify="left")
    names = sorted(evaluation.tallies)
    for column in ("class", *names):
        per_class.add_column(column, justify="left" if column == "class" else "right")
    rows: dict[str, list[str]] = {}
    for _, class_name, iou, *_rest in evaluation.class_rows():
        rows.setdefault(class_name, []).append("–" if iou != iou else f"{iou:.1f}")
    for class_name, cells in rows.items():
        per_class.add_row(class_name, *cells)
    console.print(per_class)
    tags = [f"student {k.split('/')[1]} {k.split('/')[2]} {v:.1f}" for k, v in metrics.items() if k.startswith("cls/")]
    console.print(f"classification: {', '.join(tags)}", highlight=False)


def _subset_names(metrics: dict[str, float]) -> list[str]:
    return sorted({k.split("/")[2] for k in metrics if k.split("/")[2].startswith("mIoU-")})
