"""Markers of component starts for the curves of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COMPONENTS = {"L_seg": "segmentation", "ANF": "noise_filter", "L_reg": "consistency"}  # name in figures: slot


def starts(model: Mapping[str, Any]) -> dict[str, int]:
    """Return the iteration at which each component starts, by its name in figures, from a recipe's ``model``."""
    found = {name: model.get(key, {}).get("start") for name, key in COMPONENTS.items()}
    return {f"{name} starts": int(start) for name, start in found.items() if start}


def start_markers(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the component starts that fall within a run, from its resolved recipe."""
    return {name: t for name, t in starts(config["model"]).items() if t < config["schedule"]["iterations"]}
