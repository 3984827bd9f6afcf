"""Recipes and runs in words: what ``dupl show`` prints."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dupl.api.inference import is_run
from dupl.api.recipes import Overrides, load_recipe
from dupl.api.sweeps import AnySweep, load_sweep
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.runs.status import Status

PLACES = {"DS": "students", "L_dis": "discrepancy", "DTA": "threshold", "ANF": "noise_filter", "L_reg": "consistency"}


class Component(NamedTuple):
    """One of the five components of a recipe.

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
        fingerprint: Id of the resolved recipe.
        components: The five components.
        text: The resolved recipe as a file.
    """

    doc: str
    status: Status | None
    fingerprint: str
    components: list[Component]
    text: str


def describe(recipe_or_run: str | Path, overrides: Overrides = None, *, literals: bool = False) -> Description:
    """Describe a recipe, or the recipe of a run.

    Args:
        recipe_or_run: A name, a file, or a run's folder.
        overrides: New values by path.
        literals: Whether to execute nothing of a recipe.

    Raises:
        UserError: There is neither, it is not valid, or a component is of no known class.

    Example:
        >>> found = dupl.api.describe("voc/dupl", {"model.students.type": "SingleStudent"})
        >>> [(one.name, one.on) for one in found.components][:2]
        [('DS', False), ('L_dis', True)]
    """
    from dupl.config import catalogue
    from dupl.config.fingerprint import fingerprint
    from dupl.runs.run import Run

    stored = Run(recipe_or_run) if is_run(recipe_or_run) else None
    with catalogue.literals_only() if literals else nullcontext():
        source = catalogue.read(stored.config_path) if stored is not None else recipe_or_run
        config = load_recipe(source, overrides)
        doc = "" if stored is not None else (catalogue.docstring(recipe_or_run) or "").strip()
    unknown = config.get("custom_imports") is not None and (stored is not None or literals)
    rows = components(config.model, unknown)
    return Description(doc, stored.status if stored else None, fingerprint(config), rows, catalogue.to_text(config))


def components(model: dict[str, Any], unknown: bool = False) -> list[Component]:
    """Return the five components of a recipe's ``model``.

    Args:
        model: That section.
        unknown: Whether a class may be unknown, its module not imported.

    Raises:
        UserError: A component is missing, or of no known class.

    Example:
        >>> [one.name for one in dupl.api.components(dupl.load_recipe("demo/toy").model)]
        ['DS', 'L_dis', 'DTA', 'ANF', 'L_reg']
    """
    from dupl.method import dupl  # noqa: F401  (registers the components)
    from dupl.registry import COMPONENTS

    rows = []
    for name, key in PLACES.items():
        if not isinstance(model.get(key), dict) or "type" not in model[key]:
            raise UserError(f"model.{key}: no component stands there; write dict(type=...)")
        arguments = ", ".join(f"{k}={v!r}" for k, v in model[key].items() if k != "type")
        kind = COMPONENTS.get(str(model[key]["type"]))
        if kind is None and not unknown:
            known = ", ".join(sorted(COMPONENTS.module_dict))
            raise UserError(f"model.{key}: no component is called {model[key]['type']}; there are {known}")
        on = None if kind is None else not getattr(kind, "null", False) and model[key]["type"] != "SingleStudent"
        rows.append(Component(name, on, f"{model[key]['type']}({arguments})"))
    return rows


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
