"""Digests of the data that a run is trained on, which another machine can compare."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Any

from mmengine.config import Config
from rich.console import Console

from dupl.data.base import ImageSet
from dupl.engine import build
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.files import CorruptFile
from dupl.runs.reproduce import differences
from dupl.runs.run import Run

MOST = 2000  # files whose sizes are read, evenly spread over a data set


def digest(source: ImageSet) -> dict[str, Any]:
    """Describe a data set: number of images, and digests of class names, image names, tags and file sizes of photos.

    No photo and no mask is read, so neither pixels nor masks count. Tags and sizes are None where the images are not
    files but are made by the code of the set, which its settings determine.
    """
    found: dict[str, Any] = {"type": type(source).__name__, "images": len(source)}
    found |= {"classes": _hash(source.classes), "names": _hash(source.names), "tags": None, "sizes": None}
    if len(source) and os.path.isfile(source.where(0)):
        found["tags"] = _hash(_tags(source, i) for i in range(len(source)))
        step = -(-len(source) // MOST)
        found["sizes"] = _hash(_size(source.where(i)) for i in range(0, len(source), step))
    return found


def digests(config: Config, made: dict[str, ImageSet] | None = None) -> dict[str, Any]:
    """Describe the data sets of a recipe by name; for one that cannot be read, give the reason.

    Args:
        config: The resolved recipe.
        made: Data sets that are built already, by name.
    """
    found: dict[str, Any] = {}
    for name in ("train", "val"):
        if config.data.get(name):
            try:
                found[name] = digest((made or {}).get(name) or build.build_dataset(config, name))
            except UserError as error:
                found[name] = {"missing": str(error)}
    return found


def record(run: Run, config: Config, made: dict[str, ImageSet], console: Console) -> None:
    """Record the data when a run starts; when it resumes, print what has changed."""
    now = digests(config, made)
    try:
        then = run.read_json(layout.DATA) if (run.path / layout.DATA).exists() else None
    except CorruptFile as error:
        then = None
        console.print(f"{error}: it is written again, from the present data", soft_wrap=True, markup=False)
    if then is None:
        run.write_json(layout.DATA, now)
        return
    for check in differences(then, now):
        if check.same is False:
            line = f"{check.what} has changed since the run started ({check.told}): its results will mix both"
            console.print(line, soft_wrap=True, markup=False)


def _hash(parts: Iterable[object]) -> str:
    """Return 12 hexadecimal digits that depend on every part."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(repr(part).encode())
        whole.update(b"\n")
    return whole.hexdigest()[:12]


def _tags(source: ImageSet, i: int) -> list[int] | None:
    """Return the classes of image i; None where they cannot be read."""
    try:
        return [int(k) for k in source.tags(i).nonzero()[0]]
    except UserError:  # reported when training reads the image
        return None


def _size(path: str) -> int | None:
    """Return the size of a file in bytes; None where it is missing."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None
