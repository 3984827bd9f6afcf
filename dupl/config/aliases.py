"""The data of runs of earlier versions: which digest of today stands for what they recorded of their data.

Earlier versions recorded names, tags and sizes of files, no content. Whoever digests a data set today notes here what
an earlier version would have recorded of it. The notes are a cache: without them an old run is found again as soon as
its data set is digested once more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dupl.atomic import atomic_write
from dupl.config.fingerprint import digest_of
from dupl.places import cache_folder


def old_data_id(record: Any, weights: Sequence[str]) -> str:
    """Return a digest of what a run of an earlier version recorded of its data, and of paths of files of weights."""
    return digest_of({"old": record, "weights": list(weights)})


def data_of_today(old: str) -> str | None:
    """Return the digest of the one data set that an old record fits; None where none is known, or several are."""
    known = _read().get(old, [])
    return known[0] if len(known) == 1 else None


def note_alias(old: str, new: str) -> None:
    """Note that a data set of today has this digest, and that an earlier version would have recorded the old one."""
    known = _read()
    if new not in known.get(old, []):
        known[old] = [*known.get(old, []), new]
        with suppress(OSError):
            atomic_write(_file(), json.dumps(known))


def _file() -> Path:
    return cache_folder() / "aliases.json"


def _read() -> dict[str, list[str]]:
    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
        return {str(old): [str(new) for new in found] for old, found in known.items()}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}
