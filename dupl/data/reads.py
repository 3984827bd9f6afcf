"""What is read of a data set, as digests: class names, names of images, tags, photos and masks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dupl.config.fingerprint import digest_of, hash_of, places
from dupl.config.text import plain
from dupl.data.base import ImageSet
from dupl.data.file_digests import file_digests
from dupl.errors import UserError

MOST = 2000  # files whose sizes an earlier version read, evenly spread over a data set
NONE = "none"  # stands for an image without a mask


def read_record(source: ImageSet, entry: Mapping[str, Any], masks: bool) -> dict[str, Any]:
    """Describe what is read of a data set.

    Photos and masks are read once; a cache keeps their digests, see `dupl.data.file_digests`.

    Args:
        source: The data set.
        entry: Its arguments, as the recipe states them.
        masks: Whether masks are read too.

    Returns:
        ``type``, ``images`` (their number), ``classes`` (names, in order); digests ``names``, ``tags``, ``photos`` and
        ``masks``, the last three None where they are not read from files; ``id``, a digest of all of it. A set that
        code generates is identified by its settings.
    """
    found: dict[str, Any] = {"type": type(source).__name__, "images": len(source), "classes": list(source.classes)}
    found |= {"names": hash_of(source.names), "tags": None, "photos": None, "masks": None}
    if (photos := photo_files(source)) is None:
        return found | {"id": digest_of(plain(entry))}
    labels = [source.mask_file(i) for i in range(len(source))] if masks else []
    files = list(dict.fromkeys([*photos, *(file for file in labels if file is not None)]))  # one may hold many masks
    digests = dict(zip(files, file_digests(files), strict=True))
    found["tags"] = hash_of(tags_of(source, i) for i in range(len(source)))
    found["photos"] = hash_of(digests[file] for file in photos)
    if masks:
        found["masks"] = hash_of(NONE if file is None else digests[file] for file in labels)
    content = {key: found[key] for key in ("classes", "names", "tags", "photos", "masks")}
    return found | {"id": digest_of(content | {"upright": source.upright})}


def training_id(record: Mapping[str, Any], entry: Mapping[str, Any]) -> str | None:
    """Return what a training set adds to the id of a run; None where the config says it all, as of a generated set."""
    if record["photos"] is not None:
        return str(record["id"])
    stated = places(plain(entry))
    return digest_of(stated) if stated else None


def old_record(source: ImageSet, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what version 0.1 recorded of a data set, by which its runs are recognised; ``record`` is that of today."""
    found: dict[str, Any] = {"type": type(source).__name__, "images": len(source)}
    found |= {"classes": hash_of(source.classes), "names": record["names"], "tags": record["tags"], "sizes": None}
    if len(source) and os.path.isfile(source.where(0)):
        step = -(-len(source) // MOST)
        found["sizes"] = hash_of(_size(source.where(i)) for i in range(0, len(source), step))
    return found


def photo_files(source: ImageSet) -> list[Path] | None:
    """Return the file of each photo; None where images are made by code."""
    files = []
    for i in range(len(source)):
        file = source.photo_file(i)
        if file is None and not os.path.isfile(where := source.where(i)):
            return None
        files.append(Path(where) if file is None else file)
    return files or None


def tags_of(source: ImageSet, i: int) -> list[int] | None:
    """Return the classes of image i; None where they cannot be read, which training reports."""
    try:
        return [int(k) for k in source.tags(i).nonzero()[0]]
    except UserError:
        return None


def _size(path: str) -> int | None:
    """Return the size of a file in bytes; None where it is missing."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None
