"""What the commands share: how they are declared, and what they find before they start."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config
    from rich.console import Console

RUN_OR_RECIPE = "a run's folder, or a recipe (with --checkpoint), which is executed as Python; a run's config never is"
GPUS_PER_RUN = "more than one: by torchrun; by default as many as schedule.per_gpu makes the recipe's batch of, or 1"
SET_HELP = "replace values of the recipe: path=value, for example model.noise_filter.gamma=0.95"


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str, examples: str
) -> argparse.ArgumentParser:
    """A command with its help text, its examples and what it runs."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def recipe_options(parser: argparse.ArgumentParser) -> None:
    """``--set``, for every command that takes a recipe."""
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="PATH=VALUE", help=SET_HELP)


def wandb_option(parser: argparse._ActionsContainer, what: str = "track the run; by default") -> None:
    """``--wandb``, for every command that trains, evaluates or makes a table; what it does may be said."""
    parser.add_argument(
        "--wandb",
        choices=["off", "offline", "online"],
        help=f"{what} as WANDB_MODE says, else online where an account is set up, else offline",
    )


def stderr() -> Console:
    """Where progress and messages go; results go to standard output."""
    from rich.console import Console

    notebook = "ipykernel" in sys.modules  # says it is a terminal, and keeps every state of a progress bar
    forced = False if notebook else None
    return Console(stderr=True, highlight=False, markup=False, force_jupyter=False, force_terminal=forced)


def resolved(recipe: str | Path, sets: Sequence[str], read: Callable[[str | Path], Config] | None = None) -> Config:
    """A recipe with its overrides; how it is read may be said, by default it is executed."""
    from dupl.config import catalogue, overrides

    config = overrides.apply((read or catalogue.load)(recipe), overrides.parse(sets))
    sections = ("model", "data", "schedule", "evaluation", "runtime")
    if lacking := [name for name in sections if not isinstance(config.get(name), dict)]:
        raise UserError(f"{recipe} has no {', '.join(lacking)}: begin it with a _base_ that has")
    return config


def default_folder(recipe: str, config: Config) -> Path:
    """Where a run of a recipe goes unless told otherwise: ``runs/RECIPE-FINGERPRINT``."""
    from dupl.runs.run import folder_name

    return Path("runs") / folder_name(recipe, config)


@contextmanager
def progress_bar(text: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with its ETA; what comes out takes the images done and in all."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn())
    bar = Progress(TextColumn(text), *columns, console=console)
    task = bar.add_task(text, total=None)

    def show(done: int, total: int) -> None:
        bar.start()  # not before: a mistake found on the way is told in one line
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


def crf_options(parser: argparse._ActionsContainer) -> None:
    """Switch and backend of the dense CRF."""
    parser.add_argument(
        "--crf",
        action=argparse.BooleanOptionalAction,
        help="the dense CRF of the final protocol; its label maps are kept, and a repeated command goes on from them",
    )
    parser.add_argument(
        "--crf-backend",
        choices=["torch", "pydensecrf"],
        help='torch (by default), or pydensecrf, the reference, which needs pip install ".[crf]"',
    )
    parser.add_argument("--present-only", action="store_true", help="the CRF chooses among the image's tags only")
