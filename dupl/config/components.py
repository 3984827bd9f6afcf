"""The catalogue of components and data sets: their arguments as data, without importing torch.

``components.json`` is written by ``tools/config_reference.py`` from the signatures and docstrings of the registered
classes; a test compares the two.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from dupl.config.describe import REQUIRED, Field, Section, describe
from dupl.config.kinds import Kind, Kinds, Slot

FILE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class RegisteredClass:
    """A registered class.

    Attributes:
        section: Its arguments.
        slot: Where in a model it fits; "data set", "model", or empty where it is for another class's arguments. None
            where that is unknown: a class of your own.
        null: Whether it stands for a component that is switched off.
        slots: The slots of its components, if it is a method.
        masks: Whether it is a method that learns from masks.
        early: Names of the arguments that act before its ``start``.
        stateful: Whether it holds parameters or buffers, which exist from the first iteration on.
        students: Number of students that it stands for; 0 where it is no component "students".
        used_with: Of a method: values that do nothing while none of the slots named with them acts.
        inherits: Whether it is a method of your own that lists no slots itself; nothing is known then of when they act.
    """

    section: Section
    slot: str | None = None
    null: bool = False
    slots: tuple[Slot, ...] = ()
    masks: bool = False
    early: tuple[str, ...] = ()
    stateful: bool = False
    students: int = 0
    used_with: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inherits: bool = False

    @classmethod
    def of(cls, kind: Any, slot: str | None = None) -> RegisteredClass:
        """Describe a class that is imported.

        Args:
            kind: The class.
            slot: Where in a model it fits, as of the attribute.
        """
        return cls(
            section=describe(kind),
            slot=slot,
            null=bool(getattr(kind, "null", False)),
            slots=tuple(getattr(kind, "SLOTS", ())),
            masks=bool(getattr(kind, "learns_from_masks", False)),
            early=tuple(getattr(kind, "EARLY", ())),
            stateful=any(base.__module__.startswith("torch.nn.") for base in getattr(kind, "__mro__", ())),
            students=len(getattr(kind, "teacher_of", ())),
            used_with=dict(getattr(kind, "USED_WITH", {})),
            inherits=hasattr(kind, "SLOTS") and "SLOTS" not in vars(kind),
        )


UNKNOWN = RegisteredClass(Section("", "", {}))


@lru_cache(maxsize=1)
def shipped() -> dict[str, RegisteredClass]:
    """Return the components and data sets of this package by name."""
    return {name: component_from(entry) for name, entry in json.loads(FILE.read_text(encoding="utf-8")).items()}


_learned: dict[str, RegisteredClass] = {}


def learn(entries: Mapping[str, Any]) -> None:
    """Note the classes of a recipe's own modules, which another process imported, so that ``find`` knows them here.

    A name that two recipes give to different classes is forgotten: nothing is known of it then.

    Args:
        entries: By name, as ``component_data`` returns them.
    """
    for name, entry in entries.items():
        component = component_from(entry)
        if _learned.setdefault(name, component) != component:
            _learned[name] = UNKNOWN


def find(name: str) -> RegisteredClass | None:
    """Return a component by name: one of this package, or one that was registered in this process or learned.

    Returns:
        None where nothing of that name is known.
    """
    if name in shipped():
        return shipped()[name]
    registry = sys.modules.get("dupl.registry")  # not imported for this: a process without it registered nothing
    for registered in (registry.COMPONENTS, registry.DATASETS) if registry else ():
        if (kind := registered.module_dict.get(name)) is not None:
            return RegisteredClass.of(kind)
    learned = _learned.get(name)
    return None if learned is UNKNOWN else learned


def in_slot(slot: str) -> list[str]:
    """Return the names of the shipped components that fit a slot."""
    return [name for name, component in shipped().items() if component.slot == slot]


def arguments_of(kind: Kind) -> Section:
    """Return the fields of a kind "section"."""
    if isinstance(kind.target, Section):
        return kind.target
    return shipped()[kind.target].section if isinstance(kind.target, str) else describe(kind.target)


def component_data(component: RegisteredClass) -> dict[str, Any]:
    """Turn a component into plain data for JSON."""
    slots = {"slots": [_slot_data(slot) for slot in component.slots]} if component.slots else {}
    masks = {"masks": True} if component.masks else {}
    early = {"early": list(component.early)} if component.early else {}
    stateful = {"stateful": True} if component.stateful else {}
    students = {"students": component.students} if component.students else {}
    used = {"used_with": {k: list(v) for k, v in component.used_with.items()}} if component.used_with else {}
    inherits = {"inherits": True} if component.inherits else {}
    facts = {"slot": component.slot, "null": component.null, **masks, **early, **stateful, **students, **used, **slots}
    return {**facts, **inherits, "section": _section_data(component.section)}


def component_from(entry: Mapping[str, Any]) -> RegisteredClass:
    """Turn plain data back into a component."""
    return RegisteredClass(
        section_from(entry["section"]),
        entry["slot"],
        entry["null"],
        tuple(Slot(**slot | {"after": tuple(slot.get("after", ()))}) for slot in entry.get("slots", ())),
        entry.get("masks", False),
        tuple(entry.get("early", ())),
        entry.get("stateful", False),
        entry.get("students", 0),
        {name: tuple(slots) for name, slots in entry.get("used_with", {}).items()},
        entry.get("inherits", False),
    )


def _slot_data(slot: Slot) -> dict[str, Any]:
    """Return the facts of a slot that are not the default."""
    defaults = {field.name: field.default for field in fields(Slot) if field.default is not MISSING}
    return {name: value for name, value in asdict(slot).items() if value != defaults.get(name, MISSING)}


def _section_data(section: Section) -> dict[str, Any]:
    fields = {
        field.name: {
            "kinds": [_kind_data(kind) for kind in field.kinds],
            **({} if field.default is REQUIRED else {"default": field.default}),
            "doc": field.doc,
        }
        for field in section.fields.values()
    }
    further = None if section.further is None else [_kind_data(kind) for kind in section.further]
    return {"name": section.name, "doc": section.doc, "fields": fields} | (
        {} if further is None else {"further": further}
    )


def _kind_data(kind: Kind) -> dict[str, Any]:
    data = {key: value for key, value in asdict(kind).items() if value not in ("", (), None)}
    if kind.items:
        data["items"] = [_kind_data(item) for item in kind.items]
    if kind.name == "section":
        data["target"] = _section_data(arguments_of(kind))
    return data


def section_from(data: Mapping[str, Any]) -> Section:
    """Turn plain data back into a section."""
    fields = {
        name: Field(name, _kinds_from(entry["kinds"]), entry.get("default", REQUIRED), entry["doc"])
        for name, entry in data["fields"].items()
    }
    further = data.get("further")
    return Section(data["name"], data["doc"], fields, None if further is None else _kinds_from(further))


def _kinds_from(data: list[dict[str, Any]]) -> Kinds:
    return tuple(_kind_from(dict(entry)) for entry in data)


def _kind_from(data: dict[str, Any]) -> Kind:
    target = data.get("target")
    return Kind(
        **{
            **data,
            "choices": tuple(data.get("choices", ())),
            "items": _kinds_from(data.get("items", [])),
            "target": section_from(target) if isinstance(target, dict) else target,
        }
    )
