"""Reading and writing JSON and CSV files, each whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dupl import cells
from dupl.atomic import atomic_write, read_regular, utf8
from dupl.errors import UserError


class CorruptFile(UserError):
    """A file of a run exists but cannot be read."""


def write_json(path: Path, value: Any) -> Path:
    """Write a JSON file; numbers that are not finite become null.

    Args:
        path: The file; its folder is made where it is missing.
        value: Of mappings, lists, text, numbers (also numpy's), booleans and None.

    Returns:
        The file.
    """
    atomic_write(path, json.dumps(jsonable(value), indent=2, allow_nan=False) + "\n")
    return path


def read_json(path: Path) -> Any:
    """Read a JSON file; half of a surrogate pair, which no other file can hold, becomes its escape.

    Raises:
        UserError: The file is missing.
        CorruptFile: The file cannot be read.
    """
    try:
        text = read_regular(path)
        return _encodable(json.loads(text)) if b"\\ud" in text.lower() else json.loads(text)
    except FileNotFoundError:
        raise UserError(f"{path.parent} holds no {path.name}: is it the folder of a run?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptFile(f"{path} is corrupt: {error}") from None


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return utf8(value).decode()
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write a CSV file with a header; NaN and None become empty cells, text is escaped as `dupl.cells` does.

    Args:
        path: The file; its folder is made where it is missing.
        columns: The header.
        rows: The values, one for each column.

    Returns:
        The file.

    Raises:
        ValueError: A row does not have one value for each column.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cells.written, columns))
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"{path.name}: {len(row)} values for {len(columns)} columns: {row!r}")
        writer.writerow([cells.written(jsonable(cell)) for cell in row])
    atomic_write(path, text.getvalue())
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file by the names of its columns; text as `write_csv` was given it.

    Raises:
        FileNotFoundError: The file is missing.
        OSError: The file cannot be read.
        ValueError: A row is not as long as the header, or the file is no CSV.
    """
    try:
        text = io.StringIO(read_regular(path).decode(), newline="")
        header, *rows = [list(map(cells.read, row)) for row in csv.reader(text)]
    except csv.Error as error:
        raise ValueError(f"{path.name} is no CSV: {error}") from None
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"{path.name}: not every row has {len(header)} cells, as the header has")
    return [dict(zip(header, row, strict=True)) for row in rows]


def jsonable(value: Any) -> Any:
    """Return a value as JSON knows it: numpy scalars as Python's, tuples as lists, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "item"):
        return jsonable(value.item())
    return value
