"""Build the data sets and the model of a resolved recipe."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from mmengine.config import Config

from dupl.config.per_class import resolve_per_class
from dupl.config.slots import slots_of
from dupl.data.base import ImageSet
from dupl.data.contrast_augment import ContrastAugment
from dupl.engine.custom_imports import import_custom
from dupl.errors import UserError
from dupl.method.base import Method, build_method
from dupl.registry import COMPONENTS, DATASETS, build


def build_dataset(config: Config, split: str) -> ImageSet:
    """Build the data set of ``data.train``, ``data.val`` or another entry of ``data``.

    Args:
        config: A resolved recipe.
        split: Key of the entry.

    Raises:
        UserError: There is no such entry, or the data set does not accept its arguments.
    """
    import_custom(config)
    entry = config.data.get(split)
    if not isinstance(entry, dict) or "type" not in entry:
        known = ", ".join(k for k, v in config.data.items() if isinstance(v, dict) and "type" in v)
        raise UserError(f"the recipe has no data.{split}: it has {known}")
    built: ImageSet = build(DATASETS, entry, f"data.{split}")
    return built


def split_label(config: Config, split: str) -> str:
    """Return an entry of ``data`` with the list of its images, such as "val-val100"; "val" where both are called so."""
    listed = config.data[split].to_dict().get("split", split)
    return split if listed == split else f"{split}-{listed}"


def build_model(config: Config, classes: Sequence[str] | int, device: torch.device, pretrained: bool = True) -> Method:
    """Build the model of a recipe, with random weights seeded by ``runtime.seed``.

    Args:
        config: A resolved recipe.
        classes: Class names, background first; their number K + 1 is enough where no value is stated by class name.
        device: Where the model will run.
        pretrained: Whether to load the ImageNet weights that the recipe names; False if a checkpoint follows.

    Raises:
        UserError: The components cannot work together or do not fit the classes, a value is out of range, or weights
            cannot be had.
    """
    import_custom(config)
    model = resolve_per_class(config.model.to_dict(), classes)
    count = classes if isinstance(classes, int) else len(classes)
    seed, precision = config.runtime.seed, config.runtime.precision
    built = build_method(model, count, seed=seed, precision=precision, pretrained=pretrained)
    if backend := config.runtime.get("compile"):
        compile_blocks(built, backend)
    return built.to(device)


def compile_blocks(model: Method, backend: str) -> None:
    """Let torch compile the transformer blocks of all networks when they first run; weights keep their names.

    Results differ from those of the plain blocks by rounding, as between devices.

    Args:
        model: The method.
        backend: A backend of ``torch.compile``.

    Raises:
        UserError: torch has no such backend.
    """
    if backend not in torch.compiler.list_backends(exclude_tags=()):
        known = ", ".join(torch.compiler.list_backends())
        raise UserError(f"runtime.compile is {backend!r}: choose None or one of {known}")
    for net in model.students:
        for block in net.backbone.vit.blocks:
            block.compile(backend=backend)


def check_side(path: str, size: int, patch: int) -> None:
    """Check that the side of a square, in pixels, is a number of whole patches of the backbone.

    Raises:
        UserError: It is not; the message names the value's path.
    """
    if size % patch:
        near = " or ".join(str(side) for side in (size // patch * patch, (size // patch + 1) * patch) if side)
        raise UserError(f"{path} is {size}, and the backbone's patches have {patch} px: give a multiple, {near}")


def evaluation_sides(config: Config) -> dict[str, int]:
    """Return the sides of the squares that evaluations squash images to, by their paths."""
    final = config.evaluation.get("final", {}).get("size")
    return {"evaluation.size": config.evaluation.size} | ({} if final is None else {"evaluation.final.size": final})


def learns_from_masks(config: Config) -> bool:
    """Return whether the model of a recipe learns from masks, as only a fully supervised method does."""
    return bool(getattr(COMPONENTS.get(config.model.type), "learns_from_masks", False))


def contrast_augment(config: Config) -> ContrastAugment | None:
    """Return what makes the further views of the class token contrast; None where a recipe has it switched off.

    Raises:
        UserError: A setting of ``data.contrast_augment`` is wrong.
    """
    slot = next((slot for slot in slots_of(config.model) if slot.name == "class_contrast"), None)
    chosen = (config.model.get("class_contrast") or {}).get("type")
    if slot is None or chosen in (None, slot.null):
        return None
    return ContrastAugment.from_dict(config.data.get("contrast_augment"))


def worker_apart(_: int) -> None:
    """Start a worker of a data loader in a process group of its own, so that Ctrl-C does not end it first."""
    os.setpgrp()
