"""The record of what a run reads, which another machine can compare and which later commands take class names from."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from rich.console import Console

from dupl.data.base import ImageSet
from dupl.data.reads import read_record
from dupl.engine import build
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.files import CorruptFile
from dupl.runs.reproduce import differences
from dupl.runs.run import Run


def digests(config: Config, made: dict[str, ImageSet] | None = None) -> dict[str, Any]:
    """Describe what training and its evaluation read, by split; for a set that cannot be read, give the reason.

    Args:
        config: The resolved recipe.
        made: Data sets that are built already, by split.
    """
    found: dict[str, Any] = {}
    for split in ("train", "val"):
        if config.data.get(split):
            try:
                source = (made or {}).get(split) or build.build_dataset(config, split)
                masks = split == "val" or build.learns_from_masks(config)
                found[split] = read_record(source, config.data[split].to_dict(), masks)
            except UserError as error:
                found[split] = {"missing": str(error)}
    return found


def record(run: Run, now: dict[str, Any], console: Console) -> None:
    """Record what a run reads when it starts; when it resumes, print what has changed.

    Args:
        run: The run.
        now: What `digests` returns.
        console: Console for messages.
    """
    try:
        then = run.read_json(layout.DATA) if (run.path / layout.DATA).exists() else None
    except CorruptFile as error:
        then = None
        console.print(f"{error}: it is written again, from the present data", soft_wrap=True, markup=False)
    for check in differences(then or {}, now):
        if check.same is False:
            line = f"{check.what} has changed since the run started ({check.told}): later evaluations are of other data"
            console.print(line, soft_wrap=True, markup=False)
    if then != now:
        run.write_json(layout.DATA, now)
