"""Reading COCO's JSON files: every value is validated, and each error names its place in the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dupl.errors import UserError

AGAIN = "download the file again"


def read(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file that holds one object.

    Raises:
        UserError: The file is missing or damaged.
    """
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it does not hold one JSON object")
    except FileNotFoundError:
        raise UserError(f"annotations not found: {path}; `dupl data prepare coco` downloads them") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or "not enough memory"
        raise UserError(f"annotations cannot be read: {path} ({reason}); {AGAIN}") from None
    return content


def elements(path: Path, content: dict[str, Any], key: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each object of a top-level list, and its place in the file for messages.

    Raises:
        UserError: There is no such list, or an element is not an object.
    """
    found = content.get(key)
    if not isinstance(found, list):
        raise UserError(f"{path}: there is no list '{key}'; use an instances file of COCO")
    for n, element in enumerate(found):
        where = f"{path}: {key} number {n}"
        if not isinstance(element, dict):
            raise UserError(f"{where} is not an object; {AGAIN}")
        yield element, where


def number(element: dict[str, Any], key: str, where: str) -> float:
    """Return a number below 2^62 in size.

    Raises:
        UserError: There is none under this key.
    """
    value = element.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 2**62:
        raise UserError(f"{where}: there is no number '{key}'; {AGAIN}")
    return value


def whole(element: dict[str, Any], key: str, where: str) -> int:
    """Return a whole number below 2^62 in size.

    Raises:
        UserError: There is none under this key.
    """
    value = number(element, key, where)
    if not isinstance(value, int):
        raise UserError(f"{where}: '{key}' is not a whole number; {AGAIN}")
    return value


def text(element: dict[str, Any], key: str, where: str) -> str:
    """Return a text.

    Raises:
        UserError: There is none under this key.
    """
    value = element.get(key)
    if not isinstance(value, str):
        raise UserError(f"{where}: there is no text '{key}'; {AGAIN}")
    return value
