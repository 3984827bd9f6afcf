"""The space of a sweep file: what it may contain, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dupl.config.kinds import Count, Fault, Positive
from dupl.plans.checks import checked, unknown
from dupl.plans.parameter import Parameter


@dataclass(frozen=True)
class AnyParameter:
    """The fields of every parameter of a sweep file.

    Attributes:
        type: "float", "int" or "categorical".
        label: Label in reports; the name by default.
        paths: Paths of the config that take its value, all the same; its name by default.
        when: Conditions: it is drawn only where each of these parameters has this value, or one of these values.
    """

    type: Literal["float", "int", "categorical"]
    label: str = ""
    paths: list[str] = field(default_factory=list)
    when: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FloatParameter(AnyParameter):
    """A number.

    Attributes:
        low: Least value.
        high: Largest value.
        step: Between two values. None: any value.
        log: Whether values are drawn on a log scale.
    """

    low: float = field(kw_only=True)
    high: float = field(kw_only=True)
    step: Positive | None = None
    log: bool = False


@dataclass(frozen=True)
class IntParameter(AnyParameter):
    """A whole number.

    Attributes:
        low: Least value.
        high: Largest value.
        step: Between two values.
        log: Whether values are drawn on a log scale.
    """

    low: int = field(kw_only=True)
    high: int = field(kw_only=True)
    step: Count = 1
    log: bool = False


@dataclass(frozen=True)
class CategoricalParameter(AnyParameter):
    """A choice.

    Attributes:
        choices: Scalars, or a dict of names and values.
    """

    choices: list[Any] | dict[str, Any] = field(kw_only=True)


KINDS = {"float": FloatParameter, "int": IntParameter, "categorical": CategoricalParameter}


def read_space(values: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the parameters of a sweep file by name.

    Raises:
        Fault: A parameter is not well-formed.
    """
    space: dict[str, Parameter] = {}
    for name, spec in values.items():
        where = f"space.{name}"
        if spec.get("type") not in KINDS:
            text = 'has no type: write dict(type="float", low=..., high=...), or type="int", "categorical"'
            raise Fault(where, text)
        checked(spec, KINDS[spec["type"]], where)
        made = _read(name, spec)
        for other, wanted in made.when.items():
            if other not in space:
                raise unknown(f"{where}.when", "names no parameter before it:", other, space)
            if any(value not in [c for c, _ in space[other].choices] for value in wanted) and space[other].choices:
                raise Fault(f"{where}.when", f"has another value: {other} has only {space[other].told()}")
        space[name] = made
    if not space:
        text = 'needs a space, such as space = {"schedule.lr": dict(type="float", low=..., high=...)}'
        raise Fault("space", text, about="a sweep")
    return space


def _read(name: str, spec: Mapping[str, Any]) -> Parameter:
    where = f"space.{name}"
    when = {k: tuple(v) if isinstance(v, (list, tuple)) else (v,) for k, v in spec.get("when", {}).items()}
    facts: dict[str, Any] = dict(
        name=name,
        label=spec.get("label", name),
        type=spec["type"],
        paths=tuple(spec.get("paths", [name])),
        when=when,
    )
    if spec["type"] == "categorical":
        given = spec["choices"]
        choices = tuple(given.items()) if isinstance(given, dict) else tuple((value, value) for value in given)
        if not choices or any(isinstance(choice, (list, tuple, dict)) for choice, _ in choices):
            raise Fault(f"{where}.choices", "holds more than scalars: write scalars, or a dict of names and values")
        return Parameter(**facts, choices=choices)
    low, high, step, log = spec["low"], spec["high"], spec.get("step"), spec.get("log", False)
    if not low < high:
        raise Fault(where, f"low {low} is not below high {high}", about=f"{where}:")
    if step is not None and not 0 < step <= high - low:
        raise Fault(where, f"step {step} does not fit between {low} and {high}", about=f"{where}:")
    if log and (low <= 0 or step is not None):
        raise Fault(where, "log needs low above 0, and goes without step", about=f"{where}:")
    if spec["type"] == "float":
        low, high = float(low), float(high)
    return Parameter(**facts, low=low, high=high, step=step, log=log)
