"""What a sweep varies: parameters that move values of a config."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dupl.config.check import Schema
from dupl.config.fingerprint import canonical
from dupl.config.kinds import Count, Fault, Positive
from dupl.plans.plan_file import change, checked, merge, unknown

if TYPE_CHECKING:
    from mmengine.config import Config
    from optuna import Trial

Choice = str | int | float | bool | None
Params = dict[str, Any]

NUMBER = (int, float)
ENOUGH = 10_000  # points of a grid


@dataclass(frozen=True)
class AnyParameter:
    """What every parameter of a sweep file has.

    Attributes:
        type: "float", "int" or "categorical".
        label: As printed; the name by default.
        paths: Values of the config that it moves, all alike; by default its name.
        when: It is asked for only where each of these parameters has this value, or one of these.
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


@dataclass(frozen=True)
class Parameter:
    """One parameter of a sweep.

    Attributes:
        name: Unique in the sweep; the path where it moves one value.
        label: As printed.
        type: "float", "int" or "categorical".
        paths: Values of the config that it moves, all alike.
        low, high: Bounds, both included; None where it is categorical.
        step: Between values; None where there is none.
        log: Whether values are drawn on a log scale.
        choices: By what Optuna is told; the values may be any literal, such as a component.
        when: It is asked for only where each of these parameters has one of the values.
    """

    name: str
    label: str
    type: str
    paths: tuple[str, ...]
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[tuple[Choice, Any], ...] = ()
    when: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def asked(self, params: Mapping[str, Any]) -> bool:
        """Whether it means anything beside the parameters before it."""
        return all(name in params and params[name] in values for name, values in self.when.items())

    def suggest(self, trial: Trial) -> Any:
        """Its value in a trial."""
        if self.type == "categorical":
            return trial.suggest_categorical(self.name, [choice for choice, _ in self.choices])
        assert self.low is not None and self.high is not None
        if self.type == "int":
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def value(self, chosen: Any) -> Any:
        """What the config gets where Optuna chose this."""
        return dict(self.choices)[chosen] if self.type == "categorical" else chosen

    def chosen(self, value: Any) -> Any:
        """The inverse of `value`.

        Raises:
            Fault: The value lies outside the space.
        """
        if self.type == "categorical":
            for choice, other in self.choices:
                if canonical(other) == canonical(value):
                    return choice
        elif type(value) in NUMBER and self._holds(value):
            return float(value) if self.type == "float" else int(value)
        text = f"{value!r} lies outside {self.told()}; widen it, or say another start_from"
        raise Fault(f"space.{self.name}", text, about=f"{self.name}:")

    def _holds(self, value: float) -> bool:
        assert self.low is not None and self.high is not None
        steps = (value - self.low) / self.step if self.step else 0.0
        whole = value == int(value) if self.type == "int" else True
        return self.low <= value <= self.high and whole and math.isclose(steps, round(steps), abs_tol=1e-8)

    def told(self) -> str:
        """The distribution for people."""
        if self.type == "categorical":
            return "{" + ", ".join(str(choice) for choice, _ in self.choices) + "}"
        text = f"{self.low:g} to {self.high:g}"
        return text + (f" by {self.step:g}" if self.step else "") + (", log" if self.log else "")

    def grid(self, points: int | None) -> list[Any]:
        """Its values on a grid: every choice, every step, or so many from low to high.

        Raises:
            Fault: It has neither choices nor steps, and the number is not said.
        """
        if self.type == "categorical":
            return [choice for choice, _ in self.choices]
        assert self.low is not None and self.high is not None
        if self.step:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            values = [round(self.low + i * self.step, 12) for i in range(count)]
        elif points is None or points < 2:
            raise Fault(f"space.{self.name}", "needs a step for the grid, or points=N (2 or more) in the sampler")
        elif self.log:
            ratio = self.high / self.low
            values = [min(self.high, self.low * ratio ** (i / (points - 1))) for i in range(points)]
        else:
            values = [self.low + (self.high - self.low) * i / (points - 1) for i in range(points)]
        return list(dict.fromkeys(round(v) for v in values)) if self.type == "int" else values


def at(config: Any, path: str) -> Any:
    """The value at a path of a config; None where there is none."""
    node = config
    for key in path.split("."):
        if isinstance(node, Mapping) or hasattr(node, "to_dict"):
            node = node.get(key)
        elif isinstance(node, (list, tuple)) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node


def read_space(values: Mapping[str, Any]) -> dict[str, Parameter]:
    """The parameters of a sweep file by name.

    Raises:
        Fault: One is not well-formed.
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


def changes(space: Mapping[str, Parameter], params: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that parameters stand for."""
    moves = [{path: p.value(params[p.name]) for path in p.paths} for p in space.values() if p.name in params]
    return merge(*moves)


def suggest(space: Mapping[str, Parameter], trial: Trial) -> Params:
    """The parameters of a trial, those that mean something beside the ones before."""
    params: Params = {}
    for parameter in space.values():
        if parameter.asked(params):
            params[parameter.name] = parameter.suggest(trial)
    return params


def point(space: Mapping[str, Parameter], base: Config, given: Mapping[str, Any]) -> Params:
    """A point of the space: what is given, and else what the base has.

    Raises:
        Fault: A name is none, or a value lies outside.
    """
    for name in given:
        if name not in space:
            raise unknown("start_from", "names no parameter", name, space)
    params: Params = {}
    for name, parameter in space.items():
        if not parameter.asked(params):
            continue
        if name in given:
            choices = [choice for choice, _ in parameter.choices]
            params[name] = given[name] if given[name] in choices else parameter.chosen(given[name])
            continue
        values = [at(base, path) for path in parameter.paths]
        if len({canonical(value) for value in values}) > 1:
            text = f"{', '.join(parameter.paths)} differ in the base; give {name} a value"
            raise Fault("start_from", text, about="start_from:")
        params[name] = parameter.chosen(values[0])
    return params


def grid(space: Mapping[str, Parameter], points: int | None) -> list[Params]:
    """Every point of the grid, conditions kept.

    Raises:
        Fault: A parameter has no steps, or there are too many points.
    """
    values = {name: parameter.grid(points) for name, parameter in space.items()}

    def walk(names: Sequence[str], params: Params) -> Iterator[Params]:
        if not names:
            yield params
            return
        name, *rest = names
        if not space[name].asked(params):
            yield from walk(rest, params)
            return
        for value in values[name]:
            yield from walk(rest, {**params, name: value})

    found = list(itertools.islice(walk(list(space), {}), ENOUGH + 1))
    if len(found) > ENOUGH:
        raise Fault("sampler", f"has more than {ENOUGH} points: take fewer, or another sampler", about="the grid")
    return found


def check_space(space: Mapping[str, Parameter], base: Config, schema: Schema | None = None) -> None:
    """Apply the ends of every parameter to the base, under its conditions.

    Args:
        space: The parameters.
        base: The config.
        schema: What it may hold; None leaves that open.

    Raises:
        Fault: A path is not there, or takes no such value.
    """
    for name, parameter in space.items():
        conditions = {other: values[0] for other, values in parameter.when.items()}
        ends = [c for c, _ in parameter.choices] or [parameter.low, parameter.high]
        for end in ends:
            change(base, changes(space, {**conditions, name: end}), schema, f"space.{name}")
