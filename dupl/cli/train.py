"""``dupl demo`` and ``dupl train``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from dupl.cli.common import command, default_folder, recipe_options, resolved, stderr, wandb_option
from dupl.errors import UserError

SHORT_DEMO = "DUPL_DEMO_ITERATIONS"  # the variable by which an automatic check shortens the demo


def add_demo(commands: Any) -> None:
    """Declare ``dupl demo``."""
    parser = command(
        commands,
        "demo",
        run_demo,
        "train, evaluate and look, on embedded scenes, with all five components on",
        "  dupl demo\n  dupl demo --work-dir my-demo\n  dupl demo --resume            go on after an interruption\n",
    )
    parser.add_argument("--work-dir", type=Path, help="the run's folder; runs/demo-toy-FINGERPRINT by default")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted demo")
    wandb_option(parser)
    recipe_options(parser)


def run_demo(arguments: argparse.Namespace) -> int:
    """Run ``dupl demo``."""
    from dupl.track.choice import choose

    config, wandb, console = resolved("demo/toy", arguments.set), choose(arguments.wandb).mode, stderr()
    if short := os.environ.get(SHORT_DEMO):
        if not short.isdecimal() or int(short) == 0:
            raise UserError(f"{SHORT_DEMO} is {short}: give a number of iterations, at least 1, or unset it")
        config.schedule.iterations = int(short)
        console.print(f"{SHORT_DEMO} is set: the demo trains {short} iterations")

    from dupl.engine.demo import demo

    folder = arguments.work_dir or default_folder("demo/toy", config)
    demo(config, folder, resume=arguments.resume, wandb=wandb, console=console)
    return 0


def add_train(commands: Any) -> None:
    """Declare ``dupl train``."""
    parser = command(
        commands,
        "train",
        run_train,
        "train a recipe",
        "  dupl train voc/dupl\n"
        "  dupl train voc/dupl --set model.threshold.final=0.5 runtime.seed=1\n"
        "  dupl train my/recipe.py --work-dir runs/mine --resume\n"
        "  dupl train voc/dupl --set schedule.accumulate=2          one GPU, micro-batches of 2\n"
        "  dupl train voc/dupl --wandb offline                      dupl sync uploads it later\n"
        "  torchrun --nproc-per-node 2 -m dupl train voc/dupl --launcher pytorch\n",
    )
    parser.add_argument("recipe", help="a name that `dupl show` lists, or a file, which is executed as Python")
    parser.add_argument("--work-dir", type=Path, help="the run's folder; runs/RECIPE-FINGERPRINT by default")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, exactly")
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="for several processes",
    )
    wandb_option(parser)
    recipe_options(parser)


def run_train(arguments: argparse.Namespace) -> int:
    """``dupl train``."""
    from dupl.track.choice import check_backends, choose

    config = resolved(arguments.recipe, arguments.set)  # before the imports: a slip of the pen is told at once
    check_backends(config.runtime.vis_backends)
    wandb = choose(arguments.wandb).mode

    from dupl.engine.pictures import draw
    from dupl.engine.training.train import train
    from dupl.runs.run import Run

    folder = arguments.work_dir or default_folder(arguments.recipe, config)
    console = stderr()

    def picture(run: Run) -> None:
        for path in draw(run, config):
            console.print(f"look at {path}", soft_wrap=True)

    launcher = arguments.launcher
    train(config, folder, resume=arguments.resume, launcher=launcher, wandb=wandb, console=console, at_end=picture)
    return 0
