"""Read the config that a run stored, in the values that recipes have now."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.atomic import read_regular
from dupl.config import catalogue
from dupl.config.translate import translate
from dupl.errors import UserError
from dupl.runs import ids, layout

if TYPE_CHECKING:
    from mmengine.config import Config


def read_config(folder: str | os.PathLike[str]) -> Config:
    """Read the resolved config of a run; keys that the schema does not have are named in one warning.

    Args:
        folder: The run's folder.

    Raises:
        UserError: The config is missing or corrupt.
    """
    return catalogue.as_config(read_config_values(folder), Path(folder) / layout.CONFIG)


def read_config_values(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the config of a run as `read_config` does, as a plain dict, without importing mmengine."""
    file = Path(folder) / layout.CONFIG
    if file.exists() and not file.is_file():
        raise UserError(f"{file} is no regular file")
    return catalogue.read_values(file, change=lambda values: translated(values, folder))


def images_per_loss(folder: str | os.PathLike[str]) -> str:
    """Return over how many images the losses of a run take their means, as its config says.

    Args:
        folder: The run's folder.

    Returns:
        A number, "not recorded" where an earlier version stored the config, or "" where it has no such value.
    """
    try:
        text = read_regular(Path(folder) / layout.CONFIG).decode()
    except (OSError, ValueError):
        return ""
    if found := re.search(r"\bimages_per_loss=(\d+)", text):
        return found[1]
    return "not recorded" if re.search(r"\bper_gpu=", text) else ""


def translated(values: Mapping[str, Any], folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Translate the config of the run in a folder by what its status says of the machine."""
    recipe = ids.recipe_of(Path(os.path.abspath(folder)).name, "")
    return translate(values, machine=_machine(Path(folder) / layout.STATUS), recipe=recipe)


def _machine(status: Path) -> str | None:
    """Return what the status says of the machine; None where there is none or it is corrupt."""
    try:
        found = json.loads(read_regular(status)).get("machine")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
