"""From a resolved recipe to data sets, a model and a device."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from dupl.config import catalogue
from dupl.config.check import RECIPE
from dupl.config.text import plain
from dupl.data.base import ImageSet
from dupl.engine.memory import keep_memory
from dupl.errors import UserError
from dupl.method.base import Method
from dupl.registry import COMPONENTS, DATASETS


def import_custom(config: Config) -> None:
    """Import the modules that a recipe names in ``custom_imports``, and check what their classes are given.

    Raises:
        UserError: A module cannot be imported, or a class of it is given what its constructor does not take.
    """
    if not (custom := config.get("custom_imports")):
        return
    values = plain(config)
    before = {str(fault) for fault in RECIPE.faults(values)}
    try:
        import_modules_from_strings(**custom)
    except Exception as error:  # a module is a program: it may fail in any way
        text = " ".join(str(error).split())
        raise UserError(f"{config.filename}: custom_imports: {type(error).__name__}: {text}") from error
    for fault in RECIPE.faults(values, imported=True):
        if str(fault) not in before:
            raise fault.at(catalogue.declared(config.filename).origins.of(fault.path) if config.filename else "")


def build_dataset(config: Config, split: str) -> ImageSet:
    """The data set of ``data.train``, ``data.val`` or another entry of ``data``.

    Raises:
        UserError: No such entry, or the data set refuses its arguments.
    """
    import_custom(config)
    entry = config.data.get(split)
    if not isinstance(entry, dict) or "type" not in entry:
        known = ", ".join(k for k, v in config.data.items() if isinstance(v, dict) and "type" in v)
        raise UserError(f"the recipe has no data.{split}: it has {known}")
    built: ImageSet = _build(DATASETS, dict(entry), f"data.{split}")
    return built


def build_model(config: Config, classes: int, device: torch.device, pretrained: bool = True) -> Method:
    """The model, with random parts seeded by ``runtime.seed``.

    Args:
        config: A resolved recipe.
        classes: With background.
        device: Where it will run; decides what ``runtime.amp = "auto"`` means.
        pretrained: Whether to load ImageNet weights as the recipe says; False where a checkpoint follows.

    Raises:
        UserError: A combination of components that means nothing, a wrong setting, or no weights.
    """
    import_custom(config)
    torch.manual_seed(config.runtime.seed)
    model = config.model.to_dict()
    if not pretrained:
        model["network"]["backbone"].update(pretrained=False, weights=None)
    model.update(num_classes=classes, amp=precision(config.runtime.amp, device))
    built: Method = _build(COMPONENTS, model, "model")
    if backend := config.runtime.get("compile"):
        compile_blocks(built, backend)
    return built.to(device)


def compile_blocks(model: Method, backend: str) -> None:
    """Have torch compile the transformer blocks of all networks when they first run; weights keep their names.

    The sums are the same in another order: results differ by rounding, as between devices.

    Raises:
        UserError: torch has no such backend.
    """
    if backend not in torch.compiler.list_backends(exclude_tags=()):
        known = ", ".join(torch.compiler.list_backends())
        raise UserError(f"runtime.compile is {backend!r}: choose None or of {known}")
    for net in model.students:
        for block in net.backbone.vit.blocks:
            block.compile(backend=backend)


def learns_from_masks(config: Config) -> bool:
    """Whether the recipe's model is taught by masks, which only the fully supervised counterpart is."""
    return bool(getattr(COMPONENTS.get(config.model.type), "learns_from_masks", False))


def precision(setting: str, device: torch.device) -> str:
    """The model's precision: "auto" is bfloat16 on CUDA devices and float32 on the CPU."""
    if setting == "auto":
        return "bf16" if device.type == "cuda" else "off"
    if setting not in ("off", "cam", "bf16"):
        raise UserError(f'runtime.amp is {setting!r}: choose "auto", "off", "cam" or "bf16"')
    return setting


def choose_device(setting: str) -> torch.device:
    """The device of this process, made ready: "auto" takes its CUDA device where there is one."""
    if setting == "auto":
        setting = "cuda" if torch.cuda.is_available() else "cpu"
    if setting == "cuda":
        if not torch.cuda.is_available():
            raise UserError("runtime.device is cuda, but torch sees no CUDA device: use --set runtime.device=cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    if setting != "cpu":
        raise UserError(f'runtime.device is {setting!r}: choose "auto", "cuda" or "cpu"')
    keep_memory()
    return torch.device("cpu")


def _build(registry: Any, arguments: dict[str, Any], where: str) -> Any:
    """Build by ``type``; a refusal of the arguments becomes one line that names the place in the recipe."""
    try:
        return registry.build(arguments)
    except UserError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        cause = error.__cause__ or error
        text = " ".join(str(cause.args[0] if cause.args else cause).split())
        if "is not in the" in text:
            text = (
                f"no {registry.name} is called {text.split()[0]}; there are {', '.join(sorted(registry.module_dict))}"
            )
        raise UserError(f"{where}: {text}") from error


def worker_apart(_: int) -> None:
    """Start-up of a loader's worker: out of its parent's process group, so that Ctrl-C does not end it first."""
    os.setpgrp()


def machine(device: torch.device, world: int) -> str:
    """What a run of so many processes computes on, in words: "2 x NVIDIA H200", or the processor and its cores."""
    if device.type == "cuda":
        name, count = torch.cuda.get_device_name(device), world
    else:
        info = Path("/proc/cpuinfo")
        lines = info.read_text().splitlines() if info.exists() else []
        found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name, count = f"core of {found[0] if found else platform.machine()}", os.cpu_count() or 1
    return f"{count} x {name}"
