"""The ids of runs, also of those that an earlier version gave another id; nothing on disk is renamed.

A run's id is ``CONFIG-DATA``, or ``CONFIG`` where training reads no file: see `dupl.config.fingerprint` and
`dupl.data.identity`. An earlier version digested the config with all of its paths. Such a run is found, shown and
resumed under the id that its stored config has today.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from dupl.atomic import read_regular
from dupl.config import reader
from dupl.config.aliases import data_of_today, old_data_id
from dupl.config.fingerprint import canonical, config_id, places, weight_files
from dupl.config.text import plain
from dupl.config.translate import translate
from dupl.errors import UserError
from dupl.runs import layout

VERSION = 2  # of the rule by which ids are made; a status without it is of version 1
ID = re.compile(r"-[0-9a-f]{12}(-[0-9a-f]{8})?$")


OLD_IGNORED = (  # what did not count in version 1
    *(f"runtime.{key}" for key in ("checkpoint_interval", "compile", "device", "keep_checkpoints", "log_interval")),
    *(f"runtime.{key}" for key in ("progress", "track", "vis_backends", "workers")),
    *(f"evaluation.{key}" for key in ("batch_size", "crf", "final", "gallery", "quality", "workers")),
    "hooks",
    "work_dir",
)


def parts(fingerprint: str) -> tuple[str, str | None]:
    """Return the digests of an id: of the config, and of the data or None."""
    config, _, data = fingerprint.partition("-")
    return config, data or None


def current(folder: Path, stored: str, version: int, machine: str | None = None) -> str:
    """Return the id that a run has today.

    Args:
        folder: The folder of the run.
        stored: The id in its status.
        version: Of the rule by which that was made.
        machine: What the run computed on, as its status says.
    """
    if version >= VERSION:
        return stored
    files = [folder / layout.CONFIG, folder / layout.DATA]
    return _today(str(folder), stored, machine, *(_changed(file) for file in files)) or stored


def old_id(values: Mapping[str, Any]) -> str:
    """Return the id that version 1 gave to a config, which counted every path in it."""
    kept = plain(values)
    for path in OLD_IGNORED:
        section, _, key = path.rpartition(".")
        node = kept.get(section) if section else kept
        if isinstance(node, dict):
            node.pop(key, None)
    return hashlib.sha256(canonical(kept).encode()).hexdigest()[:12]


def recipe_of(folder: str, fingerprint: str) -> str:
    """Return the name of a run's folder without its id, of today or of an earlier version."""
    return folder.removesuffix(f"-{fingerprint}") if folder.endswith(f"-{fingerprint}") else ID.sub("", folder)


def _changed(file: Path) -> int:
    """Return when a file was last changed; 0 where it is missing."""
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=4096)
def _config_of_today(
    folder: str, stored: str, machine: str | None, changed: int
) -> tuple[str, bool, tuple[str, ...]] | None:
    """Return the id of a stored config today, whether it names places of data, and its files of weights."""
    try:
        values = reader.read(Path(folder) / layout.CONFIG).values
        if old_id(values) != stored:  # the file was changed since
            return None
        values = translate(values, machine=machine, recipe=recipe_of(Path(folder).name, stored))
        data = values.get("data")
        entry = data.get("train") if isinstance(data, dict) else None
        return config_id(values), bool(places(entry)), tuple(weight_files(values.get("model")))
    except (UserError, OSError):
        return None


def _today(folder: str, stored: str, machine: str | None, config: int, data: int) -> str | None:
    if (found := _config_of_today(folder, stored, machine, config)) is None:
        return None
    digest, has_places, weights = found
    if not has_places and not weights:
        return digest
    old = old_data_id(_recorded(Path(folder)), list(weights))
    return f"{digest}-{data_of_today(old) or old}"


def _recorded(folder: Path) -> Any:
    """Return what a run of an earlier version recorded of its training data; None where it recorded nothing."""
    try:
        found = json.loads(read_regular(folder / layout.DATA)).get("train")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    made_by_code = isinstance(found, dict) and found.get("tags") is None and found.get("sizes") is None
    return None if made_by_code else found
