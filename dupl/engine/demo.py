"""The demo: train on synthetic scenes, print the table, draw the pictures."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mmengine.config import Config
from rich.console import Console

from dupl.config import catalogue
from dupl.config.fingerprint import config_id
from dupl.engine.pictures import draw
from dupl.engine.training.train import train
from dupl.report.tables.evaluation import print_evaluation
from dupl.runs import layout
from dupl.runs.evaluation_files import read_evaluation
from dupl.runs.judged import Judged
from dupl.runs.run import Run

# Measured by benchmarks/ceiling.py, which trains demo/supervised.
CEILING = {"Seg, trained on true masks (measured ceiling)": 85.5}
CAPTION = (
    "Validation scenes, whose ground is independent of the objects. A demo: minutes of training from random weights."
)


def demo(config: Config, folder: Path, *, resume: bool, wandb: str = "off", console: Console) -> None:
    """Train the demo recipe, print the table of its last evaluation, and draw pictures and curves.

    Args:
        config: The recipe demo/toy, resolved.
        folder: The run's folder; a finished run in it is shown again without training.
        resume: Whether to continue an interrupted demo.
        wandb: As for `train`.
        console: Console for the progress; the table goes to standard output.
    """
    started = time.monotonic()
    run = Run(folder)
    if not (run.exists() and run.status.state == "finished"):
        train(config, folder, resume=resume, command=sys.argv, wandb=wandb, console=console)
    found = read_evaluation(run.path / layout.evaluation(config.schedule.iterations))
    as_shipped = config_id(config) == config_id(catalogue.load("demo/toy"))
    title, ceiling = "toy validation scenes, no CRF", CEILING if as_shipped else None
    print_evaluation(found.metrics, found.per_class, title, Judged.read(found.facts), ceiling)
    drawn = draw(run, config, CAPTION)
    console.print(f"{time.monotonic() - started:.0f} s in all; see {' and '.join(map(str, drawn))}", soft_wrap=True)
