"""Kinds of values: what an annotation allows, as data that can be checked, printed and stored.

A signature states the kind of each parameter once, by standard annotations and the markers of this file::

    def __init__(self, gamma: Annotated[float, In("(0, 1)")] = 0.9, fit_on: Literal["all", "foreground"] = "all")
"""

from __future__ import annotations

import collections.abc
import dataclasses
import math
import reprlib
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dupl.errors import UserError


class Fault(UserError):
    """Something in a config that the schema does not allow.

    Args:
        path: Dotted path of the value.
        text: What is wrong with it and what to write.
        where: Where it was written, such as "recipe.py, line 3"; empty where that is unknown.
        about: What the text is about; the path by default.
    """

    def __init__(self, path: str, text: str, where: str = "", about: str = "") -> None:
        super().__init__(f"{where}: " * bool(where) + f"{about or path or 'the file'} {text}")
        self.path, self.text, self.where, self.about = path, text, where, about

    def at(self, where: str) -> Fault:
        """Return the same fault with its place."""
        return type(self)(self.path, self.text, where, self.about)


@dataclass(frozen=True)
class In:
    """Marker: a number lies in an interval.

    Attributes:
        interval: As in mathematics: "[0, 1]" with both ends, "(0, 1)" without, "[1, inf)" is at least 1.
        unit: Of the number, such as "iterations" or "px".
    """

    interval: str
    unit: str = ""


@dataclass(frozen=True)
class Slot:
    """A place in a config for a component: a dict with the ``type`` of a registered class and its arguments.

    In an annotation it marks such a dict. A method lists the slots of its components in ``SLOTS``, and whatever names
    components reads their names from there.

    Attributes:
        name: Key in the config, and which components fit, such as "noise_filter". Empty for what mmengine registers.
        default: The type where a config states none; empty where it must.
        mark: Name in figures, tables and trackers, such as "ANF" or "L_seg"; empty for parts that are not named there.
        null: Type of the null partner, which stands for the component switched off; empty where there is none.
        of_paper: Whether the component is a contribution of the paper, which lists of switches name.
        starts: Whether the component acts from an iteration on that its ``start`` gives.
        optional: Whether a config may leave the slot out, which is then filled by the null partner.
        after: Other slots of the method: this component does nothing while none of these acts. Empty where it depends
            on none.
        weight: Key in the method's ``weights`` that scales what the component computes; empty where there is none.
        doc: What the component does.
    """

    name: str
    default: str = ""
    mark: str = ""
    null: str = ""
    of_paper: bool = False
    starts: bool = False
    optional: bool = False
    after: tuple[str, ...] = ()
    weight: str = ""
    doc: str = ""


@dataclass(frozen=True)
class ArgumentsOf:
    """Marker: a dict holds the arguments of a class.

    Attributes:
        target: The class, or its name in the catalogue.
    """

    target: Callable[..., Any] | str


@dataclass(frozen=True)
class AtLeast:
    """Marker: a list has so many items or more.

    Attributes:
        items: The smallest number of items.
    """

    items: int


# Kinds that many signatures share.
Seed = Annotated[int, In("[0, 4294967295]")]  # NumPy takes 32 bits
Count = Annotated[int, In("[1, inf)")]
Start = Annotated[int, In("[0, inf)", "iterations")]
Pixels = Annotated[int, In("[1, inf)", "px")]
Positive = Annotated[float, In("(0, inf)")]
NotNegative = Annotated[float, In("[0, inf)")]
Share = Annotated[float, In("[0, 1]")]

GIVEN = "given"  # marker: the builder gives this argument; a config does not state it
FURTHER = "further"  # marker: not a key, but the kind of all keys that are not listed


WORDS = {
    "str": "a string",
    "bool": "True or False",
    "section": "a dict",
    "component": "a dict with a type",
    "dict": "a dict",
    "any": "anything",
}


@dataclass(frozen=True)
class Kind:
    """One kind of value.

    Attributes:
        name: "int", "float", "str", "bool", "None", "any", "choice", "list", "dict", "section" or "component".
        choices: Of a choice.
        interval: Of a number; empty for any number.
        unit: Of a number.
        items: Kinds of the items of a list or the values of a dict; empty for any.
        length: Of a list; None for any.
        least: Smallest length of a list; None for any.
        target: Of a section, the class that has its fields, or its name in the catalogue; of a component, the slot.
        default: Of a component, its type where none is stated.
    """

    name: str
    choices: tuple[str | int, ...] = ()
    interval: str = ""
    unit: str = ""
    items: tuple[Kind, ...] = ()
    length: int | None = None
    least: int | None = None
    target: Any = None
    default: str = ""

    def __str__(self) -> str:
        """Describe the kind in words: "a number above 0"."""
        if self.name in ("int", "float"):
            noun = ("a whole number" if self.name == "int" else "a number") + f" of {self.unit}" * bool(self.unit)
            words = in_words(self.interval)
            return f"{noun}{',' * words.startswith('at')} {words}".rstrip()
        if self.name == "choice":
            return in_a_row([f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in self.choices])
        if self.name == "list":
            what = f" of {self.length} items" if self.length else f" of at least {self.least}" if self.least else ""
            return f"a list{what}" + (f", each {in_all(self.items)}" if self.items else "")
        return WORDS.get(self.name, self.name)

    def matches(self, value: Any) -> bool:
        """Whether a value is of the right type, whatever it holds."""
        if self.name == "choice":
            return type(value) in {type(choice) for choice in self.choices}
        return {
            "any": True,
            "None": value is None,
            "bool": isinstance(value, bool),
            "str": isinstance(value, str),
            "int": type(value) is int,
            "float": type(value) in (int, float),
            "list": isinstance(value, (list, tuple)),
        }.get(self.name, isinstance(value, dict))

    def holds(self, value: Any) -> bool:
        """Whether a value of the right type has the right size: interval, choice, length."""
        if self.name == "choice":
            return value in self.choices
        if self.name in ("int", "float"):
            return not self.interval or contains(self.interval, value)
        return (self.length is None or len(value) == self.length) and (self.least is None or len(value) >= self.least)


Kinds = tuple[Kind, ...]


def in_all(kinds: Kinds) -> str:
    """Describe alternatives: "a number above 0 or None"."""
    return in_a_row(list(dict.fromkeys(str(kind) for kind in kinds)))


def in_a_row(words: Sequence[str]) -> str:
    """Join alternatives: "a, b or c", with a comma before "or" where they have commas themselves."""
    commas = any("," in word for word in words)
    return f"{', ' if commas else ' '}or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def short(value: Any) -> str:
    """Write a value for a message."""
    return reprlib.repr(value)


def contains(interval: str, value: float) -> bool:
    """Whether an interval such as "(0, 1]" contains a number."""
    low, high = _ends(interval)
    above = value >= low if interval.startswith("[") else value > low
    below = value <= high if interval.endswith("]") else value < high
    return math.isfinite(value) and above and below


def in_words(interval: str) -> str:
    """Describe an interval: "at least 1", "above 0", "in [0, 1]"; empty for no interval."""
    if not interval.endswith("inf)"):
        return f"in {interval}" if interval else ""
    return f"{'at least' if interval.startswith('[') else 'above'} {_ends(interval)[0]:g}"


def _ends(interval: str) -> tuple[float, float]:
    low, high = interval[1:-1].split(",")
    return float(low), float(high)


def kinds_of(annotation: Any) -> Kinds:
    """Return the kinds that an annotation allows.

    Raises:
        TypeError: The annotation is none of the known forms.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _marked(kinds_of(arguments[0]), arguments[1:])
    if origin in (Union, types.UnionType):
        return tuple(kind for part in arguments for kind in kinds_of(part))
    if origin is Literal:
        return (Kind("choice", choices=arguments),)
    if annotation in (None, type(None)):
        return (Kind("None"),)
    if annotation is Any:
        return (Kind("any"),)
    if annotation in (int, float, str, bool):
        return (Kind(annotation.__name__),)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return (Kind("list", items=kinds_of(arguments[0]), length=len(arguments)),)
    if origin in (list, tuple, collections.abc.Sequence):
        return (Kind("list", items=_any_as_empty(kinds_of(arguments[0]))),)
    if origin in (dict, collections.abc.Mapping):
        return (Kind("dict", items=_any_as_empty(kinds_of(arguments[1]))),)
    if annotation in (list, dict):
        return (Kind(annotation.__name__),)
    if dataclasses.is_dataclass(annotation):
        return (Kind("section", target=annotation),)
    raise TypeError(f"no kind of value is known for the annotation {annotation!r}")


def _any_as_empty(kinds: Kinds) -> Kinds:
    return () if kinds == (Kind("any"),) else kinds


def _marked(kinds: Kinds, markers: tuple[Any, ...]) -> Kinds:
    """Apply the markers of an annotation to the alternatives that they are about."""
    for marker in markers:
        if isinstance(marker, In):
            interval, unit = marker.interval, marker.unit
            numbers = [k.name in ("int", "float") for k in kinds]
            kinds = tuple(
                dataclasses.replace(kind, interval=interval, unit=unit) if number else kind
                for kind, number in zip(kinds, numbers, strict=True)
            )
        elif isinstance(marker, AtLeast):
            kinds = tuple(
                dataclasses.replace(kind, least=marker.items) if kind.name == "list" else kind for kind in kinds
            )
        elif isinstance(marker, (Slot, ArgumentsOf)):
            new = (
                Kind("component", target=marker.name, default=marker.default)
                if isinstance(marker, Slot)
                else Kind("section", target=marker.target)
            )
            kinds = tuple(new if kind.name == "dict" else kind for kind in kinds)
    return kinds
