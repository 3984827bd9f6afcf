"""Shorten or lengthen a recipe: every value that is a number of iterations is scaled with their total."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dupl.config.check import RECIPE, join
from dupl.config.components import arguments_of, find
from dupl.config.describe import REQUIRED, Section
from dupl.config.kinds import Kind
from dupl.errors import UserError

TOTAL = "schedule.iterations"
LOG = "runtime.log_interval"
SHORTEST_LOG = 10  # iterations; a row more often makes a GPU wait, and says no more


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
    for path, value in _lengths(values, RECIPE.root):
        if path != TOTAL and path not in fixed and value > 0:
            least = min(value, SHORTEST_LOG) if path == LOG else 1
            found[path] = max(least, round(value * iterations / old))
    return found


def told(values: Mapping[str, Any], new: Mapping[str, int]) -> str:
    """Return one line on what was scaled."""
    old = dict(_lengths(values, RECIPE.root))
    total = values["schedule"]["iterations"]
    changes = [f"{path} {old[path]} -> {value}" for path, value in new.items() if path != TOTAL]
    return f"{total} -> {new[TOTAL]} iterations, and in proportion: {', '.join(changes) or 'nothing'}"


def _lengths(values: Mapping[str, Any], section: Section, path: str = "") -> Iterator[tuple[str, int]]:
    """Yield every number of iterations that a section and the sections and components in it state, by path.

    Raises:
        UserError: A component has one other than 0 by default, and the recipe does not state it.
    """
    for name, field in section.fields.items():
        place, value = join(path, name), values.get(name)
        if any(kind.unit == "iterations" for kind in field.kinds):
            if isinstance(value, int):
                yield place, value
            elif name not in values and field.default not in (REQUIRED, None, 0):
                fixed = f"{place}, {field.default} by default"
                raise UserError(f"--iterations cannot scale {fixed}: state it in the recipe")
        if not isinstance(value, Mapping):
            continue
        for kind in field.kinds:
            if (inner := _inner(value, kind)) is not None:
                yield from _lengths(value, inner, place)


def _inner(value: Mapping[str, Any], kind: Kind) -> Section | None:
    """Return the fields of a dict of a kind; None where it is none, or an unknown component."""
    if kind.name == "section":
        return arguments_of(kind)
    component = find(str(value.get("type", kind.default))) if kind.name == "component" and kind.target else None
    return None if component is None else component.section
