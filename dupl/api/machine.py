"""This machine and its data: what training would lack, whether data sets are sound, how to get them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dupl.api.inference import Progress
from dupl.api.recipes import Overrides, Recipe, load_recipe
from dupl.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from dupl.data.check import Report
    from dupl.engine.doctor.finding import Finding


def diagnose(
    recipe: Recipe | None = None, overrides: Overrides = None, root: str | Path = "runs", *, deep: bool = False
) -> list[Finding]:
    """Find what would make training fail on this machine, and how to fix it.

    Args:
        recipe: A recipe, whose data, model, weights and disk space are checked too.
        overrides: New values by path.
        root: Where runs go.
        deep: Whether to load the recipe's weights, and to train on two images and evaluate two.

    Returns:
        Findings with ``name``, ``state`` ("ok", "note" or "fail"), ``found`` and the ``fix``.

    Raises:
        UserError: There is no such recipe, or it is not valid.

    Example:
        >>> states = {finding.name: finding.state for finding in dupl.api.diagnose("demo/toy")}
        >>> states["python"]
        'ok'
    """
    from dupl.engine.doctor.finding import Finding
    from dupl.engine.doctor.machine import examine

    found = examine(Path(root), of_recipe=recipe is not None)
    try:
        from dupl.engine.doctor import recipe as training
    except Exception as error:  # broken installations fail in many ways
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        fix = "reinstall torch and torchvision from one channel, then the rest: pip install . in the checkout"
        if isinstance(error, ModuleNotFoundError):
            fix = "pip install . in the checkout installs all, torch and torchvision too"
        return [*found, Finding("training code", "fail", reason, fix)]
    found += training.examine_torch()
    if recipe is None:
        return found
    return found + training.examine_recipe(load_recipe(recipe, overrides), Path(root), deep)


def check_data(recipe: Recipe, overrides: Overrides = None, progress: Progress | None = None) -> Report:
    """Look at every file of the data sets of a recipe, and report what is wrong.

    Args:
        recipe: A name, a file, or a recipe that was loaded.
        overrides: New values by path, such as ``data.train.root``.
        progress: Called with the files done and in all.

    Returns:
        Problems, counts of images and masks per split, and ``ok``, which warnings do not change.

    Raises:
        UserError: There is no such recipe, or a data set is not there at all.

    Example:
        >>> report = dupl.api.check_data("demo/toy", {"data.val.count": 4})
        >>> report.ok, report.counts["val"]["images"]
        (True, 4)
    """
    from dupl.data.check import check_datasets
    from dupl.engine import build

    config = load_recipe(recipe, overrides)
    splits = [name for name, value in config.data.items() if isinstance(value, dict) and "type" in value]
    return check_datasets(
        {split: build.build_dataset(config, split) for split in splits}, progress or (lambda done, total: None)
    )


def prepare_weights(name: str) -> Path:
    """Fetch the weights of a backbone into the hub's cache, as on a login node for nodes without a network.

    Args:
        name: A recipe, or a model of timm with its tag.

    Returns:
        Their file, which training finds there.

    Raises:
        UserError: There are no such weights, or the hub cannot be reached.

    Example:
        >>> dupl.api.prepare_weights("no_such_model")
        Traceback (most recent call last):
        dupl.errors.UserError: timm has no weights of 'no_such_model' ...
    """
    from dupl.config import catalogue
    from dupl.method.timm_weights import fetch_weights

    try:
        backbone = catalogue.load_values(catalogue.resolve(name))["model"]["network"]["backbone"]
    except UserError:
        return fetch_weights(name)
    return fetch_weights(backbone["name"])


def prepare_data(
    dataset: str,
    root: str | Path,
    *,
    source: str | Path | None = None,
    mirror: str | None = None,
    dry_run: bool = False,
    console: Console | None = None,
) -> None:
    """Download, verify, unpack and convert a public data set; what is done is skipped.

    Args:
        dataset: "voc", "sbd" (into the folder of voc) or "coco".
        root: Folder of the data set.
        source: Folder that has the archives already.
        mirror: Address of a web folder with the archives, instead of their owners'.
        dry_run: Whether only to print the steps, their sizes and the free disk space.
        console: Where progress is shown; by default standard error.

    Raises:
        UserError: A step failed; what is done stays.

    Example:
        >>> dupl.api.prepare_data("voc", "voc12", dry_run=True)
        todo  VOCtrainval...
    """
    from dupl.data.prepare.command import prepare
    from dupl.terminal import safe_console

    place = Path(source) if source is not None else None
    prepare(dataset, Path(root), console or safe_console(stderr=True, markup=False), place, mirror, dry_run=dry_run)
