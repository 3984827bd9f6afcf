"""Label maps that another program made: their place in a store, as an entry like a run that was never trained here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dupl.config.fingerprint import config_id
from dupl.config.text import to_text
from dupl.errors import UserError
from dupl.runs.run import Run, folder_name

TYPE = "LabelMaps"  # in the place of a method in the entry's config
CHECKPOINT = "given"  # ends the folders of its evaluations, where those of a run have the name of a checkpoint
PROTOCOL = "{}-given"  # name of its evaluations by the protocol in whose columns they stand
NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


def entry_config(name: str) -> dict[str, Any]:
    """Return the config of the entry of a name, from which its id follows."""
    return {"model": {"type": TYPE, "name": name}, "runtime": {"seed": 0}}


def entry_id(name: str) -> str:
    """Return the id of the entry of a name, which is the same in every store."""
    return config_id(entry_config(name))


def is_entry(config: Mapping[str, Any]) -> bool:
    """Return whether a stored config is that of label maps."""
    model = config.get("model")
    return isinstance(model, Mapping) and model.get("type") == TYPE


def refuse(folder: str | Path, config: Mapping[str, Any]) -> None:
    """Refuse the entry of label maps where a run that was trained is needed.

    Raises:
        UserError: The config of the folder is that of label maps.
    """
    if is_entry(config):
        raise UserError(
            f"{folder} holds label maps of another program, not a run: give a run that dupl train or dupl ablate made"
        )


def check_name(name: str) -> str:
    """Return a name, if a folder, a row of a table and a command line can carry it.

    Raises:
        UserError: They cannot.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"name (--name) is {name!r}: write letters, digits and _ . + -, such as deeplab-v2")
    return name


def entry_folder(root: str | Path, name: str) -> Path:
    """Return the folder of the entry of a name in a store."""
    return Path(root) / folder_name(name, entry_id(name))


def open_entry(root: str | Path, name: str, command: list[str]) -> Run:
    """Return the entry of a name in a store; it is made where it is missing.

    Args:
        root: The store.
        name: Of the label maps.
        command: The command line, which the entry records.
    """
    run = Run(entry_folder(root, name))
    if not run.exists():
        Run.create(run.path, to_text(entry_config(name)), entry_id(name), command, 0)
        run.update(state="finished", iterations=0)
    return run
