"""Record the calls that train plans and sweeps, so that later commands know with which overrides."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dupl.atomic import read_regular, utf8
from dupl.runs.failures import FOLDER
from dupl.runs.status import now

FILE = "calls.jsonl"


@dataclass(frozen=True)
class Call:
    """A call of ``dupl ablate`` or ``dupl sweep``.

    Attributes:
        kind: "ablate" or "sweep".
        name: Of the plan or the sweep.
        overrides: Values by path.
        seeds: Seeds that were asked for; None: the plan's.
        rows: Keys of rows that were asked for; None: all.
        time: When, in ISO 8601, UTC; set when it is recorded.
    """

    kind: str
    name: str
    overrides: dict[str, Any] = field(default_factory=dict)
    seeds: list[int] | None = None
    rows: list[str] | None = None
    time: str = ""


def record(root: str | Path, call: Call) -> None:
    """Add a call to the record of a store, with the time of now."""
    file = Path(root) / FOLDER / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "ab") as lines:  # one write, so that two callers do not mix their lines
        lines.write(utf8(json.dumps({**asdict(call), "time": now()}) + "\n"))


def calls(root: str | Path, kind: str, name: str) -> list[Call]:
    """Return the calls of a plan or a sweep, each different one once, in the order of their last time.

    Args:
        root: The store.
        kind: "ablate" or "sweep".
        name: Of the plan or the sweep.
    """
    found: dict[str, Call] = {}
    for call in _recorded(root):
        if (call.kind, call.name) == (kind, name):
            key = json.dumps([call.overrides, call.seeds, call.rows], sort_keys=True)
            found.pop(key, None)
            found[key] = call
    return list(found.values())


def called(root: str | Path, kind: str) -> list[str]:
    """Return the names of the plans or sweeps that were called, each once, in the order of their first time.

    Args:
        root: The store.
        kind: "ablate" or "sweep".
    """
    return list(dict.fromkeys(str(call.name) for call in _recorded(root) if call.kind == kind))


def last_times(root: str | Path, kind: str) -> dict[str, str]:
    """Return the time of the last call of each plan ("ablate") or sweep ("sweep") of a store, by name."""
    return {call.name: call.time for call in _recorded(root) if call.kind == kind}


def _recorded(root: str | Path) -> list[Call]:
    """Return the calls that are recorded in a store, in the order of time."""
    try:
        lines = read_regular(Path(root) / FOLDER / FILE).decode(errors="replace").splitlines()
    except OSError:
        return []
    return [call for line in lines if (call := _parse(line)) is not None]


def _parse(line: str) -> Call | None:
    try:
        values = json.loads(line)
        call = Call(**{key: values[key] for key in ("kind", "name", "overrides", "seeds", "rows", "time")})
    except (ValueError, KeyError, TypeError, RecursionError):  # cut off, or of another version
        return None
    texts = isinstance(call.name, str) and isinstance(call.time, str)
    return call if isinstance(call.overrides, dict) and texts else None
