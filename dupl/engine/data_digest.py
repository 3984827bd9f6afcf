"""What a run was trained on, in a few words that another machine can compare."""

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

MOST = 2000  # files whose sizes are looked up, evenly spread over a set


def digest(source: ImageSet) -> dict[str, Any]:
    """Describe a data set: how many images, and digests of class names, image names, tags and sizes of photos in bytes.

    Cheap: no photo and no mask is read, so that neither their pixels nor the masks count. Tags and sizes are None where
    the images are no files but made by the set's own code, which its settings determine.
    """
    found: dict[str, Any] = {"type": type(source).__name__, "images": len(source)}
    found |= {"classes": _hash(source.classes), "names": _hash(source.names), "tags": None, "sizes": None}
    if len(source) and os.path.isfile(source.where(0)):
        found["tags"] = _hash(_tags(source, i) for i in range(len(source)))
        step = -(-len(source) // MOST)
        found["sizes"] = _hash(_size(source.where(i)) for i in range(0, len(source), step))
    return found


def digests(config: Config, made: dict[str, ImageSet] | None = None) -> dict[str, Any]:
    """Describe the data sets of a recipe by name; one that cannot be read says why.

    Args:
        config: Resolved.
        made: Data sets that are there already.
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
    """Record the data where a run begins; where it goes on, say what has changed since."""
    now = digests(config, made)
    try:
        then = run.read_json(layout.DATA) if (run.path / layout.DATA).exists() else None
    except CorruptFile as error:
        then = None
        console.print(f"{error}: written anew, of the data as they are now", soft_wrap=True, markup=False)
    if then is None:
        run.write_json(layout.DATA, now)
        return
    for check in differences(then, now):
        if check.same is False:
            line = (
                f"{check.what} is not what the run began with ({check.told}): its numbers will not be those of one set"
            )
            console.print(line, soft_wrap=True, markup=False)


def _hash(parts: Iterable[object]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(repr(part).encode())
        whole.update(b"\n")
    return whole.hexdigest()[:12]


def _tags(source: ImageSet, i: int) -> list[int] | None:
    try:
        return [int(k) for k in source.tags(i).nonzero()[0]]
    except UserError:  # told when the image is asked for
        return None


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None
