"""Read the fields of a section or a component off its signature and its docstring."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any

from dupl.config.kinds import FURTHER, GIVEN, Kind, Kinds, Slot, kinds_of


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()  # the default of a field that a config must state
ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*):\s*(.*)$")


@dataclass(frozen=True)
class Field:
    """A value of a config.

    Attributes:
        name: Its key.
        kinds: What it may be.
        default: What it is where a config does not state it.
        doc: What it means.
    """

    name: str
    kinds: Kinds
    default: Any = REQUIRED
    doc: str = ""


@dataclass(frozen=True)
class Section:
    """A dict of a config: a section, or the arguments of a component.

    Attributes:
        name: Of the class that states it.
        doc: What it is, in a line.
        fields: Its values by key.
        further: Kinds of the values of all other keys; None where there may be no other keys.
    """

    name: str
    doc: str
    fields: dict[str, Field]
    further: Kinds | None = None


@cache
def describe(target: Any) -> Section:
    """Return the fields that a class or a function takes as arguments.

    The kinds come from the annotations, the meanings from the "Args" or "Attributes" of the docstring. Arguments
    that a subclass passes on (``*args, **kwargs``) are those of its base, and the ``SLOTS`` of a method. An argument
    without an annotation, or with one that says nothing about a config, may be anything.

    Args:
        target: The class or the function.
    """
    found: dict[str, tuple[Any, Any]] = {}
    owners = inspect.getmro(target) if inspect.isclass(target) else (target,)
    docs = {name: meaning for owner in reversed(owners) for name, meaning in _documented(owner).items()}
    passed_on = False
    for owner in owners:
        function = vars(owner).get("__init__") if inspect.isclass(owner) else owner
        if not inspect.isfunction(function):
            continue
        hints = _hints(function)
        parameters = list(inspect.signature(function).parameters.values())[inspect.isclass(owner) :]
        passed_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                default = REQUIRED if parameter.default is parameter.empty else parameter.default
                default = _factories(owner).get(parameter.name, default)
                found.setdefault(parameter.name, (hints.get(parameter.name, Any), default))
        if not passed_on:
            break
    fields = {}
    further: Kinds | None = () if passed_on else None
    for name, (annotation, default) in found.items():
        if FURTHER in typing.get_args(annotation):
            further = _kinds(annotation)[0].items
        elif GIVEN not in typing.get_args(annotation):
            fields[name] = Field(name, _kinds(annotation), default, docs.get(name, ""))
    if slots := getattr(target, "SLOTS", ()):  # a method: what it passes on are its components
        network = {name: field for name, field in fields.items() if field.kinds[0].name == "component"}
        fields, further = network | {slot.name: _slot_field(slot) for slot in slots} | fields, None
    return Section(getattr(target, "__name__", ""), _headline(target), fields, further)


def _slot_field(slot: Slot) -> Field:
    kind = Kind("component", target=slot.name, default=slot.default)
    kinds, default = ((kind, Kind("None")), None) if slot.optional else ((kind,), REQUIRED)
    return Field(slot.name, kinds, default, f"[{slot.mark}] {slot.doc}" if slot.mark else slot.doc)


def _hints(function: Any) -> dict[str, Any]:
    """Return the annotations that can be resolved; one that names what only type checkers import says nothing."""
    found: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        with suppress(Exception):
            found |= typing.get_type_hints(holder, function.__globals__, include_extras=True)
    return found


def _kinds(annotation: Any) -> Kinds:
    try:
        return kinds_of(annotation)
    except TypeError:
        return (Kind("any"),)


def _factories(owner: Any) -> dict[str, Any]:
    """Return the defaults of a dataclass that are made anew for each instance."""
    if not dataclasses.is_dataclass(owner):
        return {}
    return {f.name: f.default_factory() for f in dataclasses.fields(owner) if f.default_factory is not MISSING}


def _headline(target: Any) -> str:
    return (inspect.getdoc(target) or "").partition("\n\n")[0].replace("\n", " ")


def _documented(owner: Any) -> dict[str, str]:
    """Return the meanings of the arguments by name, from the docstrings of a class and of its constructor."""
    found: dict[str, str] = {}
    for text in (
        owner.__doc__,
        getattr(vars(owner).get("__init__"), "__doc__", None) if inspect.isclass(owner) else None,
    ):
        for names, meaning in _entries(inspect.cleandoc(text or "")):
            found |= dict.fromkeys((name.lstrip("*") for name in names.split(", ")), meaning)
    return found


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Split the "Args" and "Attributes" of a Google docstring into names and meanings."""
    for block in re.findall(r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n(?=[ ]))*)", text, flags=re.MULTILINE):
        lines = inspect.cleandoc(" \n" + block).splitlines()
        entry: list[str] = []
        for line in [*lines, "end:"]:
            if not line.startswith(" ") and (match := ENTRY.match(line)):
                if entry:
                    yield entry[0], " ".join(entry[1:]).strip()
                entry = [match[1], match[2]]
            elif entry:
                entry.append(line.strip())
