"""Values of a model that may differ by class: a list in the order of the classes, or a dict by class name.

A field is such a value if its annotation allows both a list and a dict of the same kind::

    final: Share | Sequence[Share] | Mapping[str, Share] = 0.55
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dupl.config import components
from dupl.config.describe import Section
from dupl.errors import UserError


def resolve_per_class(model: Mapping[str, Any], classes: Sequence[str] | int) -> dict[str, Any]:
    """Return a recipe's section ``model`` with every dict by class name replaced by a list.

    Args:
        model: The section.
        classes: Class names of the data, background first; or only their number, for a model whose values are
            not stated by name.

    Raises:
        UserError: A list has neither one value nor one for each foreground class, or a dict does not name exactly
            these classes.
    """
    resolved = dict(model)
    for slot, values in model.items():
        if not isinstance(values, Mapping) or not isinstance(values.get("type"), str):
            continue
        found = components.find(values["type"])
        names = [] if found is None else [key for key in values if is_per_class(found.section, key)]
        for key in names:
            values = {**values, key: _by_class(values[key], classes, f"model.{slot}.{key}")}
        resolved[slot] = values
    return resolved


def is_per_class(section: Section, key: str) -> bool:
    """Return whether a field takes a list and a dict of the same kind."""
    kinds = section.fields[key].kinds if key in section.fields else ()
    items = {kind.name: kind.items for kind in kinds if kind.name in ("list", "dict")}
    return len(items) == 2 and items["list"] == items["dict"]


def _by_class(value: Any, classes: Sequence[str] | int, path: str) -> Any:
    """Return a value as one number or as a list with one number for each foreground class."""
    count = classes - 1 if isinstance(classes, int) else len(classes) - 1
    if isinstance(value, (list, tuple)) and len(value) not in (1, count):
        known = f"{count} classes" + ("" if isinstance(classes, int) else f" ({_some(classes[1:])})")
        raise UserError(
            f"{path} has {len(value)} values, and the data have {known}: give one number, one for each class, or a "
            "dict by class name"
        )
    if not isinstance(value, Mapping):
        return value
    if isinstance(classes, int):
        raise UserError(f"{path} is by class name, and only the number of classes is known here: give a list")
    if unknown := [name for name in value if name not in classes[1:]]:
        raise UserError(f"{path} names {unknown[0]!r}, and the data have the classes {_some(classes[1:])}")
    if missing := [name for name in classes[1:] if name not in value]:
        raise UserError(f"{path} has no value for {_some(missing)}: give one for each class")
    return [value[name] for name in classes[1:]]


def _some(names: Sequence[str]) -> str:
    """Return the first names of a list."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
