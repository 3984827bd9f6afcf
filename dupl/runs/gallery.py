"""The gallery of a run: a contact sheet and its description for each evaluation during training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dupl.atomic import read_regular

NUMBER = (int, float)
LARGEST = 2**53  # a larger number, or NaN, is an error
SHEET: dict[str, Any] = dict(iter=int, cell=int, columns=list, images=list, legend=list)
COLUMN: dict[str, Any] = dict(kind=str, student=int)
IMAGE: dict[str, Any] = dict(name=str, tags=list, size=list, filled=list)
LOSSES: dict[str, Any] = dict(low=NUMBER, high=NUMBER, gamma=NUMBER, eta=NUMBER, filtered=NUMBER, fitted=bool)
SERIES = dict(counts=0, weight=2, mean=2, variance=2)  # further numbers of LOSSES, and how many; 0: any


def read_sheet(description: Path) -> dict[str, Any]:
    """Read and validate the description of a contact sheet, with the bytes of the picture as ``sheet``.

    Args:
        description: The JSON file; the picture lies beside it.

    Raises:
        OSError: A file is missing or cannot be read.
        ValueError: The description is not as training writes it.
    """
    described = dict(json.loads(read_regular(description)))
    parts = [(described, SHEET)]
    for name, shape in (("images", IMAGE), ("columns", COLUMN)):
        parts += [(one, shape) for one in described.get(name) or ()]
    losses = [entry for one in described.get("images") or () for entry in one.get("losses") or ()]
    for value, shape in parts + [(entry, LOSSES) for entry in losses]:
        if wrong := wrong_value(value, shape):
            raise ValueError(wrong)
    for entry in losses:
        _check_losses(entry)
    if wrong := wrong_value(described, {"seconds": NUMBER}, optional=True):
        raise ValueError(wrong)
    json.dumps(described, allow_nan=False)  # as a page embeds it
    return {**described, "sheet": read_regular(description.with_suffix(".webp"))}


def wrong_value(value: Any, shape: Mapping[str, Any], optional: bool = False) -> str:
    """Return what is wrong with a JSON object, "" where nothing is.

    Args:
        value: The object.
        shape: Types by name.
        optional: Whether values may be missing or null.
    """
    if not isinstance(value, dict):
        return f"{str(value)[:60]!r} is no object"
    for name, kind in shape.items():
        found = value.get(name)
        huge = isinstance(found, NUMBER) and not abs(found) < LARGEST
        if huge or not (isinstance(found, kind) or (optional and found is None)):
            return f"{name} is {'out of range' if huge else repr(found)[:60]}"
    return ""


def _check_losses(entry: Mapping[str, Any]) -> None:
    """Raise ValueError where the losses of one image and student are not as the noise filter leaves them."""
    for name, count in SERIES.items():
        series = entry.get(name)
        if not isinstance(series, list) or len(series) != (count or len(series)) or not all(map(_valid, series)):
            raise ValueError(f"{name} of losses is {str(series)[:60]}")
    if entry["low"] > entry["high"] or (entry["fitted"] and min(entry["variance"]) <= 0):
        raise ValueError("losses whose range is empty, or a mixture without variance")


def _valid(value: Any) -> bool:
    return isinstance(value, NUMBER) and abs(value) < LARGEST
