"""Training: of a recipe, and of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.api.recipes import Overrides, Recipe, Wandb, load_recipe, name_of

if TYPE_CHECKING:
    from mmengine.config import Config
    from rich.console import Console

    from dupl.runs.run import Run


def train(
    recipe: Recipe,
    folder: str | Path | None = None,
    overrides: Overrides = None,
    *,
    resume: bool = False,
    launcher: str = "none",
    wandb: Wandb = "off",
    command: Sequence[str] | None = None,
    console: Console | None = None,
    begin_from: str | Path | None = None,
    keep_at: Sequence[int] = (),
) -> Run | None:
    """Train a recipe, evaluate it on the way, and leave a run folder with checkpoints, metrics and pictures.

    Args:
        recipe: A name, a file, or a recipe that was loaded.
        folder: Of the run; by default `default_folder`.
        overrides: New values by path.
        resume: Continue from the newest valid checkpoint, with the same numbers as without the interruption; where
            there is none, begin.
        launcher: "none" for one process; "pytorch", "slurm" or "mpi" where a launcher has started several.
        wandb: Whether to track the run: "off", "offline" or "online" on Weights & Biases, or "trackio"; None chooses by
            DUPL_TRACK and WANDB_MODE, and is off without them, as the command line does.
        command: The command line to note in the run; by default that of this process.
        console: Where progress is shown; by default standard error.
        begin_from: Folder of a run to begin as: its newest checkpoint of the iterations that both train alike. Where
            there is none, training starts from scratch and says why.
        keep_at: Iterations whose checkpoints are kept, so that other runs can begin as them.

    Returns:
        The finished run; None in every process but the first.

    Raises:
        UserError: A wrong setting, bad data, or a folder that holds another run or is in use.
        RunError: Training stopped by itself, or on a signal after saving a checkpoint.

    Example:
        >>> tiny = {"schedule.iterations": 4, "schedule.batch_size": 2, "schedule.images_per_loss": 2}
        >>> tiny["data.train"] = dict(type="Toy", split="train", size=64, count=8)
        >>> tiny["data.val.count"] = 4
        >>> run = dupl.train("demo/toy", "runs/short", tiny)
        >>> run.status.state, run.status.iteration
        ('finished', 4)
    """
    from dupl.track.backends import check_backends
    from dupl.track.choice import choose

    config = load_recipe(recipe, overrides)
    check_backends(config.runtime.vis_backends)  # before the imports: a wrong setting is told at once
    tracking = choose(wandb)
    if tracking.hint and console is not None:
        console.print(tracking.hint, soft_wrap=True)

    from dupl.engine.pictures import draw
    from dupl.engine.training.train import train as run_training

    def pictures(run: Run) -> None:
        for path in draw(run, config):
            if console is not None:
                console.print(f"look at {path}", soft_wrap=True)

    return run_training(
        config,
        Path(folder) if folder is not None else default_folder(recipe, config),
        resume=resume,
        launcher=launcher,
        command=command,
        wandb=tracking.mode,
        console=console,
        at_end=pictures,
        begin_from=None if begin_from is None else Path(begin_from),
        forks=frozenset(keep_at),
    )


def demo(
    folder: str | Path | None = None,
    overrides: Overrides = None,
    *,
    resume: bool = False,
    wandb: Wandb = "off",
    console: Console | None = None,
) -> Path:
    """Train the recipe "demo/toy" on synthetic scenes, print its table and draw its pictures; about five minutes.

    Args:
        folder: Of the run; by default `default_folder`. A finished run in it is shown again.
        overrides: New values by path.
        resume: Continue an interrupted demo.
        wandb: As of `train`.
        console: Where progress is shown; the table goes to standard output.

    Returns:
        The run's folder.

    Raises:
        UserError: As `train`.

    Example:
        >>> tiny = {"schedule.iterations": 4, "schedule.batch_size": 2, "schedule.images_per_loss": 2}
        >>> tiny["data.train"] = dict(type="Toy", split="train", size=64, count=8)
        >>> tiny["data.val.count"] = 4
        >>> dupl.api.demo("runs/demo", tiny).name
        toy validation scenes, no CRF (percent; 4 of 4 images and 4 of 7 classes judged)
        ...
        'demo'
    """
    from dupl.track.choice import choose

    config, mode = load_recipe("demo/toy", overrides), choose(wandb).mode

    from dupl.engine.demo import demo as run_demo
    from dupl.terminal import safe_console

    place = Path(folder) if folder is not None else default_folder("demo/toy", config)
    run_demo(config, place, resume=resume, wandb=mode, console=console or safe_console(stderr=True, markup=False))
    return place


def default_folder(recipe: Recipe, config: Config, root: str | Path = "runs") -> Path:
    """Return where a run of a recipe goes by default: ``runs/RECIPE-FINGERPRINT``, by the id that the run has here.

    Args:
        recipe: A name, a file, or a recipe that was loaded.
        config: The same with its overrides.
        root: The store.

    Example:
        >>> str(dupl.api.default_folder("voc/dupl", dupl.load_recipe("voc/dupl")))[:14]
        'runs/voc-dupl-'
    """
    from dupl.data.identity import identify
    from dupl.runs.run import folder_name

    return Path(root) / folder_name(name_of(recipe), identify(config).run)
