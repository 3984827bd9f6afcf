"""The scalars of a run: one JSON object per line, appended while the run trains."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from dupl.atomic import atomic_write, open_regular, read_regular
from dupl.runs import layout
from dupl.runs.files import CorruptFile, jsonable

TAIL = 4096  # bytes at the end of the file that hold the last row


def append(folder: Path, row: Mapping[str, Any]) -> None:
    """Add one row; numbers that are not finite are written as null.

    Args:
        folder: The folder of the run.
        row: Values by name; "iter" is the iteration they belong to.
    """
    line = json.dumps(jsonable(row), allow_nan=False) + "\n"
    with open(folder / layout.SCALARS, "ab+") as file:
        if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)  # removes what a killed process had begun to write
        file.write(line.encode())


def text(folder: Path) -> str:
    """Return the complete lines of the file, "" before the first; a last line without its end is left out."""
    try:
        data = read_regular(folder / layout.SCALARS)
    except FileNotFoundError:
        return ""
    return data[: data.rfind(b"\n") + 1].decode(errors="replace")


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return all rows, [] before the first.

    Raises:
        CorruptFile: A line is no JSON object.
    """
    *lines, _ = text(folder).split("\n")
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(dict(json.loads(line)))
        except (TypeError, ValueError, RecursionError):
            raise CorruptFile(f"{folder / layout.SCALARS}, line {number} is corrupt: no JSON object") from None
    return found


def last_row(folder: Path) -> dict[str, Any]:
    """Return the last row, from the end of the file alone; {} where it cannot be read."""
    try:
        with open_regular(folder / layout.SCALARS) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return dict(json.loads(file.read().split(b"\n")[-2]))
    except (OSError, ValueError, IndexError, TypeError):
        return {}


def last_iteration(folder: Path) -> int | None:
    """Return the iteration of the last row, from the end of the file alone; None where it cannot be read."""
    try:
        return int(last_row(folder)["iter"])
    except (ValueError, KeyError, TypeError):
        return None


def truncate(folder: Path, after_iteration: int, known: str = "") -> int:
    """Drop the rows after an iteration, which a resumed run will write again.

    Args:
        folder: The folder of the run.
        after_iteration: The last iteration to keep.
        known: The text of the file as it was then; it is written where rows of it are missing or corrupt.

    Returns:
        How many rows had to be written anew.

    Raises:
        CorruptFile: A line is corrupt, and nothing is known of the file's earlier text.
    """
    wanted = known.splitlines()
    try:
        kept = [json.dumps(row) for row in rows(folder) if row.get("iter", 0) <= after_iteration]
    except CorruptFile:
        if not known and after_iteration != 0:
            raise
        kept = []
    lost = sum(1 for row, line in zip_longest(kept[: len(wanted)], wanted) if row != line)
    atomic_write(folder / layout.SCALARS, "".join(f"{row}\n" for row in (wanted if lost else kept)))
    return lost
