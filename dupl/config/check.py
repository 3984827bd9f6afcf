"""Check a config against the schema: unknown keys, wrong types, values out of range, missing fields."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from dupl.config import components
from dupl.config.components import RegisteredClass
from dupl.config.describe import REQUIRED, Section, describe
from dupl.config.kinds import Fault, Kind, Kinds, in_all, short
from dupl.config.schema import Recipe
from dupl.config.translate import replacement

Settings = TypeVar("Settings")


class UnknownKey(Fault):
    """A key that the schema does not have."""


@dataclass(frozen=True)
class Schema:
    """What a config may hold.

    Attributes:
        root: The sections and their fields.
        find: Looks up a component by its type; None for one that is unknown.
    """

    root: Section
    find: Callable[[str], RegisteredClass | None] = components.find

    def faults(
        self, values: Mapping[str, Any], imported: bool = False, only: Collection[str] | None = None
    ) -> Iterator[Fault]:
        """Yield everything that is wrong with a config, unknown keys of a section before its values.

        Args:
            values: The config.
            imported: Whether its ``custom_imports`` are imported. Before that, types of components that are not
                known pass where it has any.
            only: Sections to check; all where None. Sections that are missing are told only with all.
        """
        lenient = bool(values.get("custom_imports")) and not imported
        part = values if only is None else {key: value for key, value in values.items() if key in only}
        for fault in Checker(self.find, lenient).section(part, self.root, ""):
            if only is None or fault.path:
                yield fault

    def check(self, values: Mapping[str, Any], where: Callable[[str], str]) -> None:
        """Raise an error for the first thing that is wrong with a config.

        Args:
            values: The config.
            where: Says for a dotted path where its value was written, such as "recipe.py, line 3".

        Raises:
            UserError: One line: place, path, what is wrong, and what to write.
        """
        for fault in self.faults(values):
            raise fault.at(where(fault.path))

    def required(self) -> list[str]:
        """Return the sections that every config has."""
        return [field.name for field in self.root.fields.values() if field.default is REQUIRED]

    def unknown_keys(self, values: Mapping[str, Any]) -> list[str]:
        """Return the paths that the schema does not have."""
        return [fault.path for fault in self.faults(values) if isinstance(fault, UnknownKey)]


@dataclass(frozen=True)
class Checker:
    """Compares values with their kinds.

    Attributes:
        find: Looks up a component by its type.
        lenient: Whether unknown types of components pass.
    """

    find: Callable[[str], RegisteredClass | None] = components.find
    lenient: bool = False

    def section(self, values: Any, section: Section, path: str, component: bool = False) -> Iterator[Fault]:
        """Yield the faults of a dict that has the fields of a section.

        Args:
            values: What stands there.
            section: The fields.
            path: Where it stands.
            component: Whether the fields are the arguments of a component, which has a type beside them.
        """
        if not isinstance(values, Mapping):
            yield Fault(path, f"is {short(values)}: write a dict of {', '.join(section.fields)}")
            return
        own = {key: value for key, value in values.items() if not (component and key == "type")}
        for key in own:
            if key not in section.fields and section.further is None:
                yield UnknownKey(join(path, key), _unknown(key, section, path, component))
        for key, value in own.items():
            if key in section.fields or section.further:
                kinds = section.fields[key].kinds if key in section.fields else section.further or ()
                yield from self.value(value, kinds, join(path, key))
        for field in section.fields.values():
            if field.default is REQUIRED and field.name not in values:
                meaning = f" ({in_a_sentence(field.doc)})" if field.doc else ""
                yield Fault(path, f"needs {field.name}{meaning}")

    def value(self, value: Any, kinds: Kinds, path: str) -> Iterator[Fault]:
        """Yield the faults of a value that may be of several kinds."""
        fitting = [kind for kind in kinds if kind.matches(value)]
        if not fitting and kinds:
            yield Fault(path, f"is {short(value)}: give {in_all(kinds)}")
            return
        holding = [kind for kind in fitting if kind.holds(value)]
        if not holding and kinds:
            yield Fault(path, f"is {short(value)}: give {in_all(tuple(fitting))}{closest(value, fitting[0].choices)}")
        for kind in holding[:1]:
            yield from self._inside(value, kind, path)

    def _inside(self, value: Any, kind: Kind, path: str) -> Iterator[Fault]:
        if kind.name == "section":
            yield from self.section(value, components.arguments_of(kind), path)
        elif kind.name == "component":
            yield from self._component(value, kind, path)
        elif kind.name == "list" and kind.items:
            for i, item in enumerate(value):
                yield from self.value(item, kind.items, join(path, i))
        elif kind.name == "dict" and kind.items:
            for key, item in value.items():
                yield from self.value(item, kind.items, join(path, key))

    def _component(self, value: Mapping[str, Any], kind: Kind, path: str) -> Iterator[Fault]:
        name, slot = value.get("type", kind.default), str(kind.target)
        if not slot:  # mmengine looks it up
            if not isinstance(name, str) or not name:
                yield Fault(path, 'needs a type, such as dict(type="NAME")')
            return
        known = components.in_slot(slot)
        if not isinstance(name, str) or not name:
            yield Fault(path, f"needs a type: choose from {', '.join(known)}")
            return
        component = self.find(name)
        if component is None and not self.lenient:
            yield Fault(
                join(path, "type"), f"is {name!r}, which is no {slot.replace('_', ' ')}{suggestion(name, known)}"
            )
        elif component is not None and component.slot not in (slot, None):
            yield Fault(join(path, "type"), f"is {name!r}, which belongs elsewhere: choose from {', '.join(known)}")
        elif component is not None:
            yield from self.section(value, component.section, path, component=True)


def in_a_sentence(text: str) -> str:
    """Return a description as part of a sentence."""
    return (text[:1].lower() + text[1:].rstrip(".")).replace("``", "")


def join(path: str, key: object) -> str:
    """Append a key to a dotted path."""
    return f"{path}.{key}" if path else str(key)


def suggestion(name: object, known: Iterable[str]) -> str:
    """Say which known name is closest, or else which there are."""
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names) or 'none'}"


def closest(value: object, choices: Iterable[object]) -> str:
    """Say which choice is closest, or nothing."""
    close = difflib.get_close_matches(str(value), map(str, choices), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _unknown(key: str, section: Section, path: str, component: bool) -> str:
    if new := replacement(join(path, key)):
        return f"is gone: use {new} (docs/reference/upgrade.md)"
    text = f"is unknown{f' to {section.name}' * component}{suggestion(key, section.fields)}"
    if "did you mean" in text:
        return text
    if component and "." in path:
        whole = f'--set \'{path}={{"type": "{section.name}", ...}}\''
        return f"{text} (to drop what another component left: _delete_=True in a file, or {whole})"
    return text if path else f"{text} (begin the name of a helper with _)"


def settings(kind: type[Settings], values: Mapping[str, Any], path: str) -> Settings:
    """Return a section as its dataclass, with defaults for what is not stated.

    Args:
        kind: The dataclass.
        values: The section of a config.
        path: Where it stands in the config.

    Raises:
        Fault: The values do not fit.
    """
    for fault in Checker().section(values, describe(cast(Any, kind)), path):
        raise fault
    return kind(**values)


RECIPE = Schema(describe(Recipe))
