"""Shorten or lengthen a recipe: starts, warm-up and intervals in proportion to the number of iterations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dupl.config.components import find
from dupl.config.describe import REQUIRED
from dupl.errors import UserError

TOTAL = "schedule.iterations"
LOG = "runtime.log_interval"
SHORTEST_LOG = 10  # iterations; a row more often makes a GPU wait, and says no more
LENGTHS = ("schedule.warmup", "evaluation.interval", LOG, "runtime.checkpoint_interval")


def scaled(values: Mapping[str, Any], iterations: int, fixed: Collection[str] = ()) -> dict[str, int]:
    """Return the new values by path of a recipe with another number of iterations.

    Args:
        values: The recipe.
        iterations: Its new number of iterations.
        fixed: Paths that were set on purpose and stay.

    Raises:
        UserError: Not positive, set twice, or a component starts later than 0 by a default that the recipe does not
            state.
    """
    if iterations < 1:
        raise UserError(f"--iterations {iterations}: give at least 1")
    if TOTAL in fixed:
        raise UserError(f"--iterations and --set {TOTAL} say the same: give one of them")
    old = values["schedule"]["iterations"]
    found = {TOTAL: iterations}
    for path, value in [*_lengths(values), *_starts(values.get("model", {}))]:
        if path not in fixed and value > 0:
            least = min(value, SHORTEST_LOG) if path == LOG else 1
            found[path] = max(least, round(value * iterations / old))
    return found


def told(values: Mapping[str, Any], new: Mapping[str, int]) -> str:
    """Return one line on what was scaled."""
    old = dict([*_lengths(values), *_starts(values["model"])])
    total = values["schedule"]["iterations"]
    changes = [f"{path} {old[path]} -> {value}" for path, value in new.items() if path != TOTAL]
    return f"{total} -> {new[TOTAL]} iterations, and in proportion: {', '.join(changes) or 'nothing'}"


def _lengths(values: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for path in LENGTHS:
        section, _, key = path.partition(".")
        if isinstance(value := values.get(section, {}).get(key), int):
            yield path, value


def _starts(model: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the iterations that components state, by path."""
    for slot, part in model.items():
        component = find(part["type"]) if isinstance(part, Mapping) and "type" in part else None
        for name, field in (component.section.fields if component is not None else {}).items():
            if not any(kind.unit == "iterations" for kind in field.kinds):
                continue
            path = f"model.{slot}.{name}"
            if isinstance(part.get(name), int):
                yield path, part[name]
            elif name not in part and field.default not in (REQUIRED, None, 0):
                raise UserError(f"--iterations cannot scale {path}, {field.default} by default: state it in the recipe")
