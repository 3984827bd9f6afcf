"""What the detector of misled students found last in a run, from the end of its scalars."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from dupl.atomic import open_regular
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.config import read_config_values

TAIL = 32768  # bytes at the end of the scalars that hold the detector's last row
PREFIX = "detector/"


def misled(folder: Path) -> list[str]:
    """Return a line for each student and class that the detector calls misled; none where there is no detector.

    Args:
        folder: Of the run.
    """
    row = _last_row(folder)
    if not row:
        return []
    limit = _limit(folder)
    found = []
    for name, value in sorted(row.items()):
        student, _, class_name = name.removeprefix(PREFIX).partition("/")
        if value < limit:
            found.append(f"student {student} is misled on {class_name} ({value:.2f}, below {limit:g})")
    return found


def _last_row(folder: Path) -> dict[str, float]:
    """Return the detector's values in the last row that has any."""
    with suppress(OSError), open_regular(folder / layout.SCALARS) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        for line in reversed(file.read().split(b"\n")):
            if PREFIX.encode() not in line:
                continue
            with suppress(ValueError, TypeError, OverflowError, RecursionError, AttributeError):
                values = {k: float(v) for k, v in json.loads(line).items() if k.startswith(PREFIX) and v is not None}
                if values:
                    return values
    return {}


def _limit(folder: Path) -> float:
    """Return the value below which the run's detector calls a student misled; a half where its recipe is unreadable."""
    with suppress(UserError, OSError, ValueError, TypeError, LookupError, AttributeError):
        part = read_config_values(folder)["model"]["detector"]
        return float(part.get("misled", 0.5))
    return 0.5
