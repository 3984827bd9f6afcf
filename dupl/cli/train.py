"""``dupl demo`` and ``dupl train``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import RECIPE, command, recipe_options, say, stderr, tracking_options
from dupl.errors import UserError

SHORT_DEMO = "DUPL_DEMO_ITERATIONS"  # the variable by which an automatic check shortens the demo


def add_demo(commands: Any) -> None:
    """Declare ``dupl demo``."""
    parser = command(
        commands,
        "demo",
        run_demo,
        "train, evaluate and look, on synthetic scenes, with all five components on",
        "  dupl demo\n  dupl demo --work-dir my-demo\n  dupl demo --resume            continue after an interruption\n",
    )
    parser.add_argument("--work-dir", type=Path, help="folder of the run; default: runs/demo-toy-FINGERPRINT")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted demo")
    tracking_options(parser)
    recipe_options(parser)


def run_demo(arguments: argparse.Namespace) -> int:
    """Run ``dupl demo``."""
    console, changes = stderr(), api.override_values(arguments.set)
    if short := os.environ.get(SHORT_DEMO):
        if not short.isdecimal() or int(short) == 0:
            raise UserError(f"{SHORT_DEMO} is {short}: give a number of iterations, at least 1, or unset it")
        changes["schedule.iterations"] = int(short)
        console.print(f"{SHORT_DEMO} is set: the demo trains {short} iterations")
    api.demo(arguments.work_dir, changes, resume=arguments.resume, wandb=arguments.wandb, console=console)
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
        "  dupl train voc/dupl --iterations 2000                    a short run: its phases are scaled too\n"
        "  dupl train my/recipe.py --work-dir runs/mine --resume\n"
        "  dupl train voc/dupl --wandb offline                      dupl sync uploads it later\n"
        "  dupl train voc/dupl --track trackio                      then: trackio show --project dupl\n"
        "  torchrun --nproc-per-node 2 -m dupl train voc/dupl --launcher pytorch\n",
    )
    parser.add_argument("recipe", help=RECIPE)
    parser.add_argument("--work-dir", type=Path, help="folder of the run; default: runs/RECIPE-FINGERPRINT")
    parser.add_argument(
        "--iterations",
        type=int,
        metavar="N",
        help="train N iterations; starts, warm-up and intervals are scaled with them, except what --set sets",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue from the newest valid checkpoint, with the same numbers as without the interruption",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what started the processes of a distributed training; default: none",
    )
    parser.add_argument(
        "--begin-from",
        type=Path,
        metavar="RUN",
        help="begin as the newest checkpoint of another run, for as many iterations as both train alike",
    )
    parser.add_argument(
        "--keep-at",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="keep the checkpoints of these iterations, so that other runs can begin as them",
    )
    tracking_options(parser)
    recipe_options(parser)


def run_train(arguments: argparse.Namespace) -> int:
    """Run ``dupl train``."""
    console = stderr()
    changes, line = api.train_overrides(arguments.recipe, arguments.set, arguments.iterations)
    if line:
        say(console)(line)
    api.train(
        arguments.recipe,
        arguments.work_dir,
        changes,
        resume=arguments.resume,
        launcher=arguments.launcher,
        wandb=arguments.wandb,
        console=console,
        begin_from=arguments.begin_from,
        keep_at=arguments.keep_at,
    )
    return 0
