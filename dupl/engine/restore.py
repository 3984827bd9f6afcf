"""Restoring a trained model from a run's folder, or from a recipe and a checkpoint file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE
from dupl.engine import build
from dupl.engine.checkpoints import iteration_of, newest_valid
from dupl.engine.device import open_device
from dupl.engine.trained_classes import check_old_record, check_stated, recorded_classes
from dupl.engine.weights import load_weights
from dupl.errors import UserError
from dupl.method.base import Method
from dupl.registry import class_names
from dupl.runs import layout
from dupl.runs.config import read_config
from dupl.runs.evaluation import SELECTED
from dupl.runs.run import Run


@dataclass(frozen=True)
class Restored:
    """A trained model to evaluate or to infer with.

    Attributes:
        config: The resolved recipe.
        checkpoint: The file of weights.
        folder: Folder for results.
        name: Name of the checkpoint, for file names.
        iteration: Iteration of the weights; None where it is not recorded.
    """

    config: Config
    checkpoint: Path
    folder: Path
    name: str
    iteration: int | None = None

    @property
    def title(self) -> str:
        """Describe the checkpoint: "iteration 900", or its file if it is not one of the run's."""
        own = self.checkpoint.parent.resolve() == (self.folder / layout.CHECKPOINTS).resolve()
        name = self.name if own else "/".join(self.checkpoint.parts[-2:])
        if own and name == Path(layout.BEST).stem:
            name = SELECTED
        if self.iteration is None:
            return name
        return f"{'' if own and layout.iteration_of(name) is not None else f'{name}, '}iteration {self.iteration}"

    def classes(self) -> tuple[str, ...]:
        """Return the class names of the model, background first, without reading its data where they are recorded.

        Raises:
            UserError: The recipe states other classes, or they are not recorded and the data cannot be read.
        """
        build.import_custom(self.config)
        if (trained := self.recorded_classes()) is not None:
            check_stated(self.config.data, trained)
            return trained
        named = class_names(self.config.data)
        check_old_record(self.folder, named, "the recipe")
        return named

    def recorded_classes(self) -> tuple[str, ...] | None:
        """Return the class names that the checkpoint or its run has; None where neither has them."""
        return recorded_classes(self.checkpoint, self.folder)

    def model(self, classes: Sequence[str]) -> Method:
        """Build the model with its weights, on its device, in evaluation mode.

        Raises:
            UserError: The weights do not fit, or a side of an evaluation is no multiple of the patch.
        """
        device = open_device(self.config.runtime)
        model = build.build_model(self.config, classes, device, pretrained=False)
        for path, size in build.evaluation_sides(self.config).items():
            build.check_side(path, size, model.students[0].backbone.patch)
        load_weights(model, self.checkpoint)
        model.eval()
        return model


def restore(run_or_recipe: str, checkpoint: str | None, sets: Sequence[str] | Mapping[str, Any]) -> Restored:
    """Find the config and the weights of a trained model.

    Args:
        run_or_recipe: A run's folder, or a recipe.
        checkpoint: "last", "best", a file, or None for "last" of a run.
        sets: Overrides of the config: values by path, or texts such as "runtime.device=cpu".

    Raises:
        UserError: There is no such run or recipe, no checkpoint file is given for a recipe, or the run does not have
            the checkpoint.
    """
    run = Run(run_or_recipe)
    of_run = run.exists()
    if not of_run:
        require_recipe(run_or_recipe)
    read = read_config(run.path) if of_run else catalogue.load(run_or_recipe)
    config = overrides.apply(read, sets if isinstance(sets, Mapping) else overrides.parse(sets), RECIPE)
    build.import_custom(config)
    if checkpoint not in (None, "best", "last"):
        file = Path(str(checkpoint))
        inside = run.path / layout.CHECKPOINTS / file.with_suffix(".pth").name
        if of_run and not file.exists() and len(file.parts) == 1:
            if not inside.is_file():
                existing = ", ".join(sorted(f.stem for f in inside.parent.glob("[!.]*.pth"))) or "none"
                raise UserError(f"there is no checkpoint {checkpoint}: it is not a file, and {run.path} has {existing}")
            file = inside
        name = Path(run_or_recipe).with_suffix("").as_posix().replace("/", "-")
        return Restored(
            config, file, run.path if of_run else Path(layout.EVALUATIONS) / name, file.stem, iteration_of(file)
        )
    if not of_run:
        raise UserError(f"{run_or_recipe} is a recipe, not a run: give its weights as checkpoint (--checkpoint FILE)")
    best = run.path / layout.BEST
    if checkpoint == "best":
        return Restored(config, best, run.path, "best", iteration_of(best))
    newest, skipped = newest_valid(run.path)
    if newest is None:
        other = "; the best weights, selected on val, are there (--checkpoint best)" if best.is_file() else ""
        raise UserError(f"{run.path} has no checkpoint that loads" + "".join(f"; {line}" for line in skipped) + other)
    return Restored(config, newest, run.path, newest.stem, iteration_of(newest))


def require_recipe(name: str) -> None:
    """Check that a name is that of a recipe.

    Raises:
        UserError: It is neither a recipe nor a run; the message suggests what it may be.
    """
    try:
        catalogue.resolve(name)
        return
    except UserError as error:
        path, hint = Path(name), str(error)
    if path.is_file():
        raise UserError(f"{name} is neither a run's folder nor a recipe: give one of these, and this as --checkpoint")
    if path.is_dir():
        inside = sorted(child.name for child in path.iterdir() if Run(child).exists())
        more = f"; runs in it: {', '.join(inside[:5])}" + ", ..." * (len(inside) > 5) if inside else ""
        raise UserError(f"{path} holds no run (no {layout.STATUS}){more}")
    beside = [child.name for child in path.parent.iterdir() if Run(child).exists()] if path.parent.is_dir() else []
    if runs := difflib.get_close_matches(path.name, beside, 1):
        close = f" (did you mean the run {path.parent / runs[0]}?)"
    else:
        close = f" ({hint.partition('(')[2]}" if "did you mean" in hint else "; `dupl runs` and `dupl show` list them"
    raise UserError(f"{name} is neither a run's folder nor a recipe{close}")
