"""Recipes: load one by name, change its values, build its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union

from dupl.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

    from dupl.method.base import Method

Overrides = Mapping[str, Any] | Sequence[str] | None  # values by path, or texts such as "schedule.lr=1e-4"
Recipe = Union[str, Path, "Config"]  # a name, a file, or what `load_recipe` returned
Wandb = Literal["off", "offline", "online", "trackio"] | None  # None chooses by DUPL_TRACK and WANDB_MODE


def load_recipe(name: Recipe, overrides: Overrides = None, /, **more: Any) -> Config:
    """Load a recipe and replace values of it.

    A path such as ``schedule.lr`` leads to one value and must exist; the new value must be of the old one's kind. A
    component, which is a dict with a ``type``, is replaced as a whole or by its parts.

    Args:
        name: A name that ``dupl show`` lists, such as "voc/dupl", the path of a file, or a recipe that was loaded,
            which stays as it is.
        overrides: New values by path; or texts as the command line takes them, ``["schedule.lr=1e-4"]``.
        **more: Further values by path, ``**{"schedule.lr": 1e-4}``; they win.

    Returns:
        The resolved recipe, with the sections ``model``, ``data``, ``schedule``, ``evaluation`` and ``runtime``.

    Raises:
        UserError: There is no such recipe, it does not fit the schema, a path does not exist, or a value is of another
            kind or out of its range.

    Example:
        >>> recipe = dupl.load_recipe("voc/dupl", {"schedule.lr": 1e-4, "runtime.seed": 1})
        >>> recipe.schedule.lr, recipe.model.threshold.type
        (0.0001, 'CosineDescent')
        >>> dupl.load_recipe("voc/dupl", ["schedule.learning=1"])
        Traceback (most recent call last):
        dupl.errors.UserError: schedule has no 'learning'...
    """
    from dupl.config import catalogue
    from dupl.config import overrides as changes
    from dupl.config.check import RECIPE

    given = {**override_values(overrides), **more}
    if isinstance(name, (str, Path)):
        return catalogue.as_config(recipe_values(name, given), catalogue.resolve(name))
    return changes.apply(name, given, RECIPE)


def recipe_values(name: str | Path, overrides: Overrides = None) -> dict[str, Any]:
    """Load a recipe as `load_recipe` does, or the config of a run, as a plain dict, without importing mmengine.

    The config that a run stored, given by its folder or the file, is read with a warning for the keys that this version
    does not know.

    Raises:
        UserError: As `load_recipe`.

    Example:
        >>> dupl.api.recipe_values("voc/dupl", ["schedule.lr=1e-4"])["schedule"]["lr"]
        0.0001
    """
    from dupl.config import catalogue
    from dupl.config import overrides as changes
    from dupl.config.check import RECIPE
    from dupl.runs.config import read_config_values
    from dupl.runs.label_maps import refuse
    from dupl.runs.layout import is_stored_config
    from dupl.runs.run import Run

    run = Run(name)
    path = run.config_path if run.exists() else catalogue.resolve(name)
    values = read_config_values(path.parent) if is_stored_config(path) else catalogue.load_values(path)
    refuse(path.parent, values)
    if lacking := [field for field in RECIPE.required() if not isinstance(values.get(field), dict)]:
        raise UserError(f"{path} has no {', '.join(lacking)}: it is no config of a run, or was edited")
    return changes.apply(values, override_values(overrides), RECIPE)


def override_values(overrides: Overrides) -> dict[str, Any]:
    """Return overrides as values by path, whether they came as a mapping or as texts.

    Raises:
        UserError: A text has no "=", or they are neither a mapping nor texts.

    Example:
        >>> dupl.api.override_values(["schedule.lr=1e-4", "model.threshold.type=FixedThreshold"])
        {'schedule.lr': 0.0001, 'model.threshold.type': 'FixedThreshold'}
    """
    from dupl.config.overrides import parse

    if overrides is None or isinstance(overrides, Mapping):
        return dict(overrides or {})
    texts = [overrides] if isinstance(overrides, str) else overrides
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"overrides is {overrides!r}; give values by path, such as {{'schedule.lr': 1e-4}}")
    return parse(texts)


def train_overrides(
    recipe: Recipe, overrides: Overrides = None, iterations: int | None = None
) -> tuple[dict[str, Any], str]:
    """Return overrides that train a recipe for another number of iterations, and a line on what they scale.

    Args:
        recipe: A name, a file, or a recipe that was loaded.
        overrides: Values by path; what they set is not scaled.
        iterations: The new number; starts, warm-up and intervals are scaled with it. None scales nothing.

    Raises:
        UserError: The number is not positive, or set by the overrides too.

    Example:
        >>> dupl.api.train_overrides("voc/dupl", iterations=2000)[0]["model.noise_filter.start"]
        800
    """
    from dupl.config.scale import scaled, told
    from dupl.config.text import plain

    changes = override_values(overrides)
    if iterations is None:
        return changes, ""
    values = plain(load_recipe(recipe, changes))
    new = scaled(values, iterations, changes)
    return changes | new, told(values, new)


def list_recipes(kind: str = "experiments") -> dict[str, str]:
    """List what `load_recipe`, `load_plan` or `load_sweep` finds by name.

    Args:
        kind: "experiments" (recipes), "ablations" (plans) or "sweeps".

    Returns:
        The first line of each docstring by name.

    Raises:
        UserError: There is no such kind.

    Example:
        >>> "voc/dupl" in dupl.list_recipes(), "table4_components" in dupl.list_recipes("ablations")
        (True, True)
    """
    from dupl.config import catalogue

    if kind not in catalogue.KINDS:
        raise UserError(f"kind is {kind!r}; give one of {', '.join(catalogue.KINDS)}")
    return {name: catalogue.docstring(name, kind).strip().partition("\n")[0] for name in catalogue.names(kind)}


def fingerprint(recipe: Recipe, overrides: Overrides = None) -> str:
    """Return the id of a recipe's run: the same wherever its data lie and whatever the recipe is called.

    Returns:
        12 hexadecimal digits of the config and, where training reads files that are here, a dash and 8 digits of their
        content: class names, image names, tags, photos. What cannot change the result (workers, device, intervals of
        logs) makes no difference.

    Raises:
        UserError: As `load_recipe`.

    Example:
        >>> dupl.fingerprint("demo/toy") == dupl.fingerprint("demo/toy", {"runtime.workers": 3})
        True
    """
    from dupl.data.identity import identify

    return identify(load_recipe(recipe, overrides)).run


def check_wandb(wandb: Wandb) -> str:
    """Return the mode of tracking: "off", "offline" or "online" on Weights & Biases, or "trackio".

    Args:
        wandb: What is asked for; None chooses by DUPL_TRACK and WANDB_MODE, and is off without them.

    Raises:
        UserError: "online" is asked for, and no account is set up; or trackio, and it is not installed.

    Example:
        >>> dupl.api.check_wandb("off")
        'off'
    """
    from dupl.track.choice import choose

    return choose(wandb).mode


def build_model(recipe: Recipe, overrides: Overrides = None, *, pretrained: bool = True) -> Method:
    """Build the model of a recipe on the recipe's device, with random parts seeded by ``runtime.seed``.

    Args:
        recipe: A name, a file, or a recipe that was loaded.
        overrides: New values by path.
        pretrained: Whether to load the ImageNet weights that the recipe names; without them nothing is downloaded.

    Returns:
        A torch module with ``loss``, ``predict`` and ``inspect``, in training mode.

    Raises:
        UserError: A combination of components that means nothing, a wrong setting, or weights that cannot be had.

    Example:
        >>> import torch
        >>> model = dupl.build_model("demo/toy").eval()
        >>> scores, logits, cams = model.predict(torch.zeros(2, 3, 64, 64))[0]  # of the first student
        >>> scores.shape, logits.shape  # classes: six kinds of objects, and background first in the logits
        (torch.Size([2, 6]), torch.Size([2, 7, 16, 16]))
    """
    from dupl.engine import build
    from dupl.engine.device import open_device
    from dupl.registry import class_names

    config = load_recipe(recipe, overrides)
    build.import_custom(config)
    device = open_device(config.runtime)
    return build.build_model(config, class_names(config.data), device, pretrained=pretrained)


def name_of(recipe: Recipe) -> str | Path:
    """Return the name of a recipe, for the folders of its runs: the catalogue's, or the file's."""
    from dupl.config import catalogue

    if isinstance(recipe, (str, Path)):
        return recipe
    file = Path(recipe.filename or "recipe")
    return next((name for name in catalogue.names() if catalogue.resolve(name) == file), file.stem)
