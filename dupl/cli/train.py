"""``dupl demo`` and ``dupl train``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import RECIPE, command, progress_bar, recipe_options, say, stderr, tracking_options
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
        "train a recipe, or a folder of your own photos",
        "  dupl train voc/dupl\n"
        "  dupl train photos/ --tags tags.csv                       writes photos.py, trains it, shows the masks\n"
        "  dupl train voc/dupl --set model.threshold.final=0.5 runtime.seed=1\n"
        "  dupl train voc/dupl --iterations 2000                    a short run: its phases are scaled too\n"
        "  dupl train my/recipe.py --work-dir runs/mine --resume\n"
        "  dupl train voc/dupl --wandb offline                      dupl sync uploads it later\n"
        "  dupl train voc/dupl --track trackio                      then: trackio show --project dupl\n"
        "  torchrun --nproc-per-node 2 -m dupl train voc/dupl --launcher pytorch\n",
    )
    parser.add_argument("recipe", help=f"{RECIPE}; or a folder of photos, or of one folder of photos per class")
    photos = parser.add_argument_group("a folder of photos")
    photos.add_argument(
        "--tags",
        type=Path,
        metavar="CSV",
        help="columns image and tags (and split); default: tags.csv in the folder, or the folders of the classes",
    )
    photos.add_argument(
        "--base", metavar="RECIPE", help="recipe to build on; default: one that is chosen for this machine"
    )
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
    arguments.of_photos = of_photos = api.is_photo_folder(arguments.recipe)
    if of_photos:
        arguments.recipe = str(_write_recipe(arguments, say(console)))
    elif arguments.tags or arguments.base:
        raise UserError(f"--tags and --base are for a folder of photos, and {arguments.recipe} is none: leave them out")
    changes, line = api.train_overrides(arguments.recipe, arguments.set, arguments.iterations)
    if line:
        say(console)(line)
    folder = arguments.work_dir
    if of_photos:
        folder = folder or api.default_folder(arguments.recipe, api.load_recipe(arguments.recipe, changes))
        if api.is_run(folder) and api.run_status(folder).state == "finished":
            say(console)(f"{folder} is trained already, on these photos and tags")
            return _show_masks(folder)
        _check_photos(arguments.recipe, changes)
    run = api.train(
        arguments.recipe,
        folder,
        changes,
        resume=arguments.resume,
        launcher=arguments.launcher,
        wandb=arguments.wandb,
        console=console,
        begin_from=arguments.begin_from,
        keep_at=arguments.keep_at,
    )
    return _show_masks(run.path) if of_photos and run is not None else 0


def _show_masks(run: Path) -> int:
    """Write the page of the masks of a run's photos and print where it is."""
    with progress_bar("masks", stderr(), transient=True) as progress:
        page = api.mask_page(run, progress)
    print(f"masks of your photos: {page}")
    return 0


def _write_recipe(arguments: argparse.Namespace, tell: Callable[[str], None]) -> Path:
    """Write the recipe of a folder of photos, or take it as it is to continue its run."""
    return api.photo_recipe(arguments.recipe, arguments.base or "auto", tags=arguments.tags, tell=tell)


def _check_photos(recipe: str, changes: dict[str, Any]) -> None:
    """Read every photo before training, and refuse those that cannot be read.

    Raises:
        UserError: The first problem, and how many more there are.
    """
    with progress_bar("check", stderr(), transient=True) as progress:
        report = api.check_data(recipe, changes, progress)
    errors = [problem for problem in report.problems if problem.severity == "error"]
    if errors:
        more = f"; {len(errors) - 1} more are listed by: dupl data check {recipe}" if errors[1:] else ""
        raise UserError(f"{errors[0].message}{more}")
