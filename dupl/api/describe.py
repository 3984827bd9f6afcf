"""Recipes and runs in words: what ``dupl show`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dupl.api.inference import is_run
from dupl.api.recipes import Overrides, override_values, recipe_values
from dupl.api.sweeps import AnySweep, load_sweep

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dupl.runs.status import Status


class SwitchState(NamedTuple):
    """A component of the paper in a recipe.

    Attributes:
        name: As the paper calls it.
        on: Whether it is switched on; None where its class is of a module that was not imported.
        text: Its class and arguments.
    """

    name: str
    on: bool | None
    text: str


@dataclass(frozen=True)
class Description:
    """What a recipe, or the recipe of a run, consists of.

    Attributes:
        doc: What the recipe says of itself; "" of a run.
        status: Of the run; None of a recipe.
        fingerprint: Id of the run: as stored, or that of a recipe here.
        absent: Why the fingerprint is that of the config alone: its data are not here; "" where they are.
        components: The components of the paper.
        text: The resolved recipe as a file.
        images_per_loss: Of a run, "not recorded" where an earlier version stored it; "" of a recipe.
    """

    doc: str
    status: Status | None
    fingerprint: str
    absent: str
    components: list[SwitchState]
    text: str
    images_per_loss: str = ""


def describe(recipe_or_run: str | Path, overrides: Overrides = None) -> Description:
    """Describe a recipe, or the recipe of a run.

    Args:
        recipe_or_run: A name, a file, or a run's folder.
        overrides: New values by path.

    Raises:
        UserError: There is neither, or it does not fit the schema.

    Example:
        >>> found = dupl.api.describe("voc/dupl", {"model.students.type": "SingleStudent"})
        >>> [(one.name, one.on) for one in found.components][:2]
        [('DS', False), ('L_dis', True)]
    """
    from dupl.config import catalogue
    from dupl.data.identity import identify
    from dupl.runs.config import images_per_loss
    from dupl.runs.run import Run

    stored = Run(recipe_or_run) if is_run(recipe_or_run) else None
    values = recipe_values(stored.config_path if stored is not None else recipe_or_run, overrides)
    doc = "" if stored is not None else catalogue.docstring(recipe_or_run).strip()
    rows = components(values["model"])
    status = stored.status if stored is not None else None
    if status is not None and not override_values(overrides):
        name, absent = status.fingerprint, ""
    else:
        found = identify(values)
        name, absent = found.run, found.absent
    images = images_per_loss(stored.path) if stored is not None else ""
    return Description(doc, status, name, absent, rows, catalogue.to_text(values), images)


def components(model: Mapping[str, Any]) -> list[SwitchState]:
    """Return the components of the paper in a recipe's ``model``.

    Raises:
        UserError: A component is missing.

    Example:
        >>> [one.name for one in dupl.api.components(dupl.load_recipe("demo/toy").model)]
        ['DS', 'L_dis', 'DTA', 'ANF', 'L_reg', 'Diff. Aug']
    """
    from dupl.config.slots import switches

    rows = []
    for part in switches(model):
        arguments = ", ".join(f"{name}={value!r}" for name, value in part.arguments.items())
        rows.append(SwitchState(part.slot.mark, part.on, f"{part.type}({arguments})"))
    return rows


def describe_schema(part: str = "") -> Iterator[RenderableType]:
    """Yield what a recipe, a plan or a sweep may hold, as tables of rich.

    Args:
        part: A section, a slot, a component, a data set, "plan" or "sweep"; all for an empty name.

    Raises:
        UserError: There is no such part; the message names the closest.

    Example:
        >>> title, *_ = dupl.api.describe_schema("schedule")
        >>> title.plain.splitlines()[0]
        'schedule'
    """
    from dupl.config.reference import tables
    from dupl.plans.plan_file import PlanFile
    from dupl.plans.sweep_file import SweepFile

    return tables(part, {"plan": PlanFile, "sweep": SweepFile})


def describe_search(sweep: AnySweep, overrides: Overrides = None) -> list[str]:
    """Return what a sweep searches, by which goal and means, on which data, as lines.

    Args:
        sweep: A sweep, its name or its file.
        overrides: As of `load_sweep`.

    Raises:
        UserError: There is no such sweep, or it is not valid.

    Example:
        >>> dupl.api.describe_search("demo")[:2]
        ['goal', '    maximize seg/best/mIoU']
    """
    from dupl.plans.describe import describe_search as lines

    return lines(load_sweep(sweep, overrides))
