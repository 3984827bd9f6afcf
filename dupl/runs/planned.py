"""Record which rows of which plans asked for a run, so that the store can tell without the plans' files."""

from __future__ import annotations

import json
from pathlib import Path

from dupl.atomic import atomic_write, read_regular
from dupl.runs.failures import FOLDER


def record(root: str | Path, fingerprint: str, plan: str, row: str) -> None:
    """Record that a row of a plan asks for the run of a fingerprint."""
    known = recorded(root, fingerprint)
    if (plan, row) not in known:
        atomic_write(_file(root, fingerprint), json.dumps([*known, (plan, row)]) + "\n")


def recorded(root: str | Path, fingerprint: str) -> list[tuple[str, str]]:
    """Return the plans and rows that asked for a run; none where nothing was recorded."""
    try:
        found = json.loads(read_regular(_file(root, fingerprint)))
        return [(str(plan), str(row)) for plan, row in found]
    except (OSError, ValueError, TypeError):
        return []


def _file(root: str | Path, fingerprint: str) -> Path:
    return Path(root) / FOLDER / f"{fingerprint}.rows.json"
