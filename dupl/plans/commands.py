"""The commands that repeat what was asked for, for messages and for what a table notes of itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DEFAULT_ROOT = "runs"


def report_command(
    name: str, root: str | Path, *options: str, form: str = "", storage: str | None = None, **chosen: Any
) -> str:
    """Return the ``dupl report`` command for a plan or a sweep.

    Args:
        name: Of the plan or sweep, or its file.
        root: The store.
        *options: Further words, put last.
        form: The format; "" leaves it out.
        storage: Of a sweep's study, without its password.
        **chosen: As of `choice_words`.
    """
    words = ["dupl", "report", name, *(["--format", form] if form else []), "--root", str(root)]
    words += ["--storage", storage] if storage else []
    return shlex.join([*words, *choice_words(**chosen), *options])


def ablate_command(name: str, root: str | Path = DEFAULT_ROOT, **chosen: Any) -> str:
    """Return the ``dupl ablate`` command that trains what was chosen of a plan; arguments as of `report_command`."""
    place = ["--root", str(root)] if str(root) != DEFAULT_ROOT else []
    return shlex.join(["dupl", "ablate", name, *place, *choice_words(**chosen)])


def choice_words(
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Mapping[str, Any] | Sequence[str] | None = None,
) -> list[str]:
    """Return the options that choose runs of a plan: ``--rows``, ``--seeds`` and ``--set``, where they are given."""
    texts = (
        [f"{path}={value!r}" if not isinstance(value, str) else f"{path}={value}" for path, value in overrides.items()]
        if isinstance(overrides, Mapping)
        else overrides
    )
    words: list[str] = []
    for option, values in (("--rows", rows), ("--seeds", seeds), ("--set", texts)):
        words += [option, *map(str, values)] if values else []
    return words
