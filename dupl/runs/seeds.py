"""By how much the seeds of a recipe differ, by the runs of a store that are alike but for their seed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from statistics import stdev
from typing import Any

from dupl.config.fingerprint import config_id
from dupl.config.text import plain
from dupl.errors import UnknownKeys, UserError
from dupl.runs import layout
from dupl.runs.config import read_config_values
from dupl.runs.selection import metric_of
from dupl.runs.stored_run import open_run

LOOKED_AT = 200  # folders of a store


def without_seed(values: Mapping[str, Any]) -> str:
    """Return the id of a config with the seed left out."""
    kept = plain(values)
    kept["runtime"] = {key: value for key, value in kept.get("runtime", {}).items() if key != "seed"}
    return config_id(kept)


def _id_of(folder: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownKeys)  # of the runs beside the one that is asked for
        return without_seed(read_config_values(folder))


def spread_of_seeds(folder: Path, metric: str) -> str:
    """Say by how much a metric differs between the finished runs beside a run that have other seeds.

    Args:
        folder: Of the run.
        metric: Of the last evaluation during training, such as "seg/best/mIoU".
    """
    unknown = "by how much seeds differ is not known: the store has no other seed of this run"
    try:
        wanted = _id_of(folder)
        beside = sorted(file.parent for file in folder.absolute().parent.glob(f"*/{layout.STATUS}"))[:LOOKED_AT]
    except (UserError, OSError):
        return unknown
    values: dict[int, float] = {}
    for one in beside:
        try:
            run = open_run(one)
            if run is None or run.state != "finished" or _id_of(one) != wanted:
                continue
        except UserError:
            continue
        if (value := metric_of(run, metric)) is not None:
            values[run.status.seed] = value
    if len(values) < 2:
        return unknown
    low, high = min(values.values()), max(values.values())
    found = f"{metric} of {len(values)} seeds lies between {low:.1f} and {high:.1f}"
    return f"{found}, standard deviation {stdev(values.values()):.1f}"
