"""The space of a sweep: its points, and the changes of a config that they stand for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dupl.config.check import Schema
from dupl.config.fingerprint import canonical
from dupl.config.kinds import Fault
from dupl.plans.checks import change, merge, unknown
from dupl.plans.parameter import Parameter, Params, at

if TYPE_CHECKING:
    from mmengine.config import Config
    from optuna import Trial


ENOUGH = 10_000  # points of a grid


def changes(space: Mapping[str, Parameter], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of a config, by path, that parameters stand for."""
    moves = [{path: p.value(params[p.name]) for path in p.paths} for p in space.values() if p.name in params]
    return merge(*moves)


def suggest(space: Mapping[str, Parameter], trial: Trial) -> Params:
    """Draw the parameters of a trial, those whose conditions hold."""
    params: Params = {}
    for parameter in space.values():
        if parameter.asked(params):
            params[parameter.name] = parameter.suggest(trial)
    return params


def point(space: Mapping[str, Parameter], base: Config, given: Mapping[str, Any]) -> Params:
    """Return a point of the space: the given values, and the values of the base for all other parameters.

    Raises:
        Fault: A name is not that of a parameter, or a value lies outside the space.
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
    """Return every point of the grid at which the conditions hold.

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
        schema: What it may contain; None leaves that open.

    Raises:
        Fault: A path does not exist, or does not take such a value.
    """
    for name, parameter in space.items():
        conditions = {other: values[0] for other, values in parameter.when.items()}
        ends = [c for c, _ in parameter.choices] or [parameter.low, parameter.high]
        for end in ends:
            change(base, changes(space, {**conditions, name: end}), schema, f"space.{name}")
