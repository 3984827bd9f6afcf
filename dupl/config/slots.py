"""Names and states of a method's components, from a recipe's ``model`` and without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dupl.config import components
from dupl.config.kinds import Slot
from dupl.errors import UserError


@dataclass(frozen=True)
class Switch:
    """A component of the paper in a recipe.

    Attributes:
        slot: Its slot.
        on: Whether it is switched on; None for a class of a module that is not imported.
        type: The class in the slot.
        arguments: Its arguments, as the recipe states them.
    """

    slot: Slot
    on: bool | None
    type: str
    arguments: dict[str, Any]


def slots_of(model: Mapping[str, Any]) -> tuple[Slot, ...]:
    """Return the slots of a model by its ``type``; those of all shipped methods where the type is not known.

    Of two methods with a slot of one name, the one whose paper brought the component describes it.
    """
    if known := _known_slots(model):
        return known
    every = [slot for each in components.shipped().values() for slot in each.slots]
    return tuple({slot.name: slot for slot in sorted(every, key=lambda slot: slot.of_paper)}.values())


def _known_slots(model: Mapping[str, Any]) -> tuple[Slot, ...]:
    """Return the slots of a model's method; empty where they are not known."""
    method = components.find(str(model.get("type")))
    return () if method is None else method.slots


def switches(model: Mapping[str, Any]) -> list[Switch]:
    """Return the components of the paper that a model has slots for, with the state of each.

    Of a method whose slots are not known, those that the model states.

    Raises:
        UserError: A slot that must be filled is empty.
    """
    found, known = [], bool(_known_slots(model))
    for slot in slots_of(model):
        if not slot.of_paper:
            continue
        config = model.get(slot.name) or ({"type": slot.null} if slot.optional else None)
        if config is None and not known:
            continue
        if not isinstance(config, Mapping) or "type" not in config:
            raise UserError(f"model.{slot.name} is missing: write dict(type=...)")
        arguments = {key: value for key, value in config.items() if key != "type"}
        component = components.find(str(config["type"]))
        found.append(Switch(slot, None if component is None else not component.null, str(config["type"]), arguments))
    return found


def starts(model: Mapping[str, Any]) -> dict[str, int]:
    """Return the first iteration of each component that starts late, by its mark, in their order in time."""
    found = {slot.mark: (model.get(slot.name) or {}).get("start") for slot in slots_of(model) if slot.starts}
    late = {mark: int(start) for mark, start in found.items() if start}
    return dict(sorted(late.items(), key=lambda item: item[1]))
