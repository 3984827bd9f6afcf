"""Markers of component starts for the curves of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dupl.config import slots


def starts(model: Mapping[str, Any]) -> dict[str, int]:
    """Return the iteration at which each component starts, by its name in figures, from a recipe's ``model``."""
    return {f"{mark} starts": start for mark, start in slots.starts(model).items()}


def start_markers(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the component starts that fall within a run, from its resolved recipe."""
    return {name: t for name, t in starts(config["model"]).items() if t < config["schedule"]["iterations"]}
