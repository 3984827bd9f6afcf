"""Where components start, for the curves of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MARKS = {"L_seg": "segmentation", "ANF": "noise_filter", "L_reg": "consistency"}


def starts(model: Mapping[str, Any]) -> dict[str, int]:
    """Return where components start, by the name they carry in figures, from a recipe's ``model``."""
    found = {name: model.get(key, {}).get("start") for name, key in MARKS.items()}
    return {f"{name} starts": int(start) for name, start in found.items() if start}


def marks(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the starts that fall within a run, from its resolved recipe."""
    return {name: t for name, t in starts(config["model"]).items() if t < config["schedule"]["iterations"]}
