"""``dupl demo`` and ``dupl train``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl.cli.common import command, default_folder, recipe_options, resolved, stderr, wandb_option


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
    """``dupl demo``."""
    from dupl.track.choice import choose

    config, wandb = resolved("demo/toy", arguments.set), choose(arguments.wandb).mode

    from dupl.engine.demo import demo

    folder = arguments.work_dir or default_folder("demo/toy", config)
    demo(config, folder, resume=arguments.resume, wandb=wandb, console=stderr())
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
    parser.add_argument("recipe", help="a name that `dupl show` lists, or a file")
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

    config = resolved(arguments.recipe, arguments.set)  # before the imports: mistakes are reported at once
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
