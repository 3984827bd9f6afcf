"""Plans: which runs make a table. A plan file has rows; a row is a change of a recipe, trained once per seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE, Schema, suggestion
from dupl.config.fingerprint import fingerprint
from dupl.config.kinds import Fault
from dupl.config.overrides import ABSENT
from dupl.errors import UserError
from dupl.plans.plan_file import (
    PROTOCOLS,
    Column,
    Factor,
    PlanFile,
    change,
    checked,
    located,
    merge,
    read_columns,
    read_factors,
    unknown,
)
from dupl.plans.rows import Row, kind_of, read_rows

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = ["Column", "Plan", "PlannedRun", "Row", "expand", "load"]

SEED = "runtime.seed"
PREVIOUS = "previous"  # as `compare`: each row against the one above


@dataclass(frozen=True)
class Plan:
    """A table to be.

    Attributes:
        name: Of the plan file.
        title: One line.
        doc: What the file says of itself.
        base: Recipe that the rows change.
        seeds: Each row is trained once with each.
        set: Overrides of all rows, applied first.
        factors: Labels by key, in order; a row has some of them. Empty where rows are values.
        columns: What is measured.
        rows: In order.
        kind: Where the rows come from: "rows" (typed), "leave_one_out", "vary" or "factorial".
        compare: What a row's difference is against: "previous" (the row above) or the key of a row.
        heading: Of the labels' column; "" or, in a plan that varies one thing, its name.
        reference: A line on numbers that are no ground for comparison; "" where there is none.
        schema: What the recipes of the rows may hold; None leaves that open.
    """

    name: str
    title: str
    doc: str
    base: str
    seeds: tuple[int, ...]
    set: dict[str, Any]
    factors: dict[str, str]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    kind: str
    compare: str
    heading: str = ""
    reference: str = ""
    schema: Schema | None = field(default=RECIPE, repr=False, compare=False)

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that the columns need; "final" is an evaluation after training."""
        return tuple(p for p in PROTOCOLS if p in {column.protocol for column in self.columns})

    def against(self, row: Row) -> Row | None:
        """Return the row that a row is compared with; None for the first one, or a row that is compared with none."""
        if self.compare == PREVIOUS:
            place = self.rows.index(row)
            return self.rows[place - 1] if place else None
        return next((other for other in self.rows if other.key == self.compare and other is not row), None)

    def select(self, rows: Sequence[str] | None) -> Plan:
        """Return the plan with some of its rows, by their keys; with all of them where None."""
        return self if rows is None else replace(self, rows=tuple(row for row in self.rows if row.key in rows))

    def expand(
        self,
        rows: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        sets: Mapping[str, Any] | None = None,
    ) -> list[PlannedRun]:
        """The runs of the plan, see `expand`."""
        return expand(self, rows, seeds, sets)


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan.

    Attributes:
        plan: Name of the plan.
        row: Key of the row.
        seed: Also the config's `runtime.seed`.
        config: Resolved.
        fingerprint: Of the config; runs of several plans may share it.
        recipe: Name of the base.
        changes: Old and new value by path, against the base (with this call's `sets`); without the seed, and without
            the arguments that went with a component whose type was swapped.
    """

    plan: str
    row: str
    seed: int
    config: Config = field(repr=False)
    fingerprint: str
    recipe: str
    changes: dict[str, tuple[Any, Any]] = field(repr=False)


def load(name: str | Path, schema: Schema | None = RECIPE) -> Plan:
    """Read a plan file and check it against its base.

    Args:
        name: A name such as "table4_components" (found as recipes are, in `ablations`), or the path of a file.
        schema: What the recipes of the rows may hold; None leaves that open.

    Raises:
        UserError: No such plan, or a fault in it: an unknown key, a path that the base does not have, a value that the
            schema does not allow, two rows that are the same run. The message names file and line.
    """
    path = catalogue.resolve(name, "ablations")
    reading = catalogue.declared(path)
    text = str(name).removesuffix(".py")
    try:
        values = checked(reading.values, PlanFile, "")
        plan, factors = _read(values, text if text in catalogue.names("ablations") else path.stem, path, schema)
        base = change(catalogue.load(plan.base, schema), _allowed(plan.set, "set"), schema, "set")
        _check_factors(base, factors, schema)
        runs = expand(plan, seeds=plan.seeds[:1])
    except UserError as error:
        raise located(error, reading.origins) from None
    if plan.compare:
        return plan
    same = fingerprint(overrides.apply(base, {SEED: plan.seeds[0]}))
    compare = next((run.row for run in runs if run.fingerprint == same), plan.rows[0].key)
    return replace(plan, compare=compare)


def _read(values: dict[str, Any], name: str, path: Path, schema: Schema | None) -> tuple[Plan, dict[str, Factor]]:
    """Make a plan of the values of its file; `compare` is "" where the base has to tell."""
    columns, factors = read_columns(values), read_factors(values)
    rows, kind = read_rows(values, columns, factors), kind_of(values)
    compare = values.get("compare", {"rows": "previous", "vary": ""}.get(kind, "full"))
    keys = [row.key for row in rows]
    if compare not in ("previous", "", *keys):
        raise unknown("compare", "names no row", compare, ["previous", *keys])
    doc = catalogue.docstring(path, "ablations")
    plan = Plan(
        name=name,
        title=values.get("title", doc.partition("\n")[0].rstrip(".")) or name,
        doc=doc,
        base=values["base"],
        seeds=_seeds(values.get("seeds", (0,))),
        set=values.get("set", {}),
        factors={key: factor.label for key, factor in factors.items()},
        columns=columns,
        rows=rows,
        kind=kind,
        compare=compare,
        heading=values["vary"].get("label", "") if kind == "vary" else "",
        reference=values.get("reference", ""),
        schema=schema,
    )
    return plan, factors


def _check_factors(base: Config, factors: Mapping[str, Factor], schema: Schema | None) -> None:
    """Apply every side of every factor to the base, by itself."""
    for key, factor in factors.items():
        for side, changes in (("without", factor.without), ("with_", factor.with_)):
            change(base, changes, schema, f"factors.{key}.{side}")


def expand(
    plan: Plan,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    sets: Mapping[str, Any] | None = None,
) -> list[PlannedRun]:
    """Return the runs of a plan: all rows with the first seed, then all with the next.

    Rows marked `alike` come as runs of the same fingerprint.

    Args:
        plan: A plan.
        rows: Keys of rows; None is all. They come in the plan's order.
        seeds: Instead of the plan's.
        sets: Values by path for every row, such as where data lies; they win over the plan's `set`, and a row's own
            changes win over them.

    Raises:
        UserError: No such row, seed or path, or two rows that are the same run.
    """
    chosen = [row for row in plan.rows if rows is None or row.key in rows]
    for key in rows or ():
        if key not in [row.key for row in chosen]:
            raise UserError(f"{plan.name} has no row {key!r}{suggestion(key, [row.key for row in plan.rows])}")
    numbers = _seeds(plan.seeds if seeds is None else seeds)
    sets = _allowed(sets or {}, "sets")
    bases = {
        name: overrides.apply(catalogue.load(name, plan.schema), sets, plan.schema)
        for name in {row.base or plan.base: None for row in chosen}
    }
    every = merge(plan.set, sets)
    configs = {row.key: _configure(plan, row, every, bases[row.base or plan.base]) for row in chosen}
    _refuse_twins(chosen, configs)
    runs = []
    for seed in numbers:
        for row in chosen:
            recipe = row.base or plan.base
            config = overrides.apply(configs[row.key], {SEED: seed})
            changes = _changes(bases[recipe], configs[row.key])
            runs.append(PlannedRun(plan.name, row.key, seed, config, fingerprint(config), recipe, changes))
    return runs


def _configure(plan: Plan, row: Row, every: Mapping[str, Any], base: Config) -> Config:
    """Apply a plan's and a row's changes to a base."""
    place, about = "vary" if plan.kind == "vary" else f"rows.{row.key}.set", f"row {row.key}:"
    changes = merge(every, _allowed(row.overrides, place, f"{about} set:"))
    return change(base, changes, plan.schema, place, about)


def _changes(base: Config, config: Config) -> dict[str, tuple[Any, Any]]:
    found = overrides.diff(base, config)
    swapped = tuple(path.removesuffix("type") for path in found if path.endswith(".type"))
    return {path: (old, new) for path, (old, new) in found.items() if new is not ABSENT or not path.startswith(swapped)}


def _refuse_twins(rows: Sequence[Row], configs: Mapping[str, Config]) -> None:
    """Two rows are the same run if, and only if, one of them says so."""
    prints = {row.key: fingerprint(configs[row.key]) for row in rows}
    for i, row in enumerate(rows):
        for other in rows[:i]:
            alike = other.key == row.alike or row.key == other.alike or (row.alike and row.alike == other.alike)
            same = prints[row.key] == prints[other.key]
            if same and not alike:
                text = f"and {row.key} are the same run: remove one, or say alike={other.key!r}"
                raise Fault(f"rows.{row.key}", text, about=f"rows {other.key}")
            if alike and not same:
                paths = ", ".join(overrides.diff(configs[other.key], configs[row.key]))
                text = f"and {row.key} are not alike: they differ in {paths}"
                raise Fault(f"rows.{row.key}", text, about=f"rows {other.key}")


def _seeds(seeds: Sequence[Any]) -> tuple[int, ...]:
    if not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise Fault("seeds", f"is {list(seeds)}: write whole numbers from 0 on, each once")
    return tuple(seeds)


def _allowed(changes: Mapping[str, Any], place: str, about: str = "") -> Mapping[str, Any]:
    """Return overrides that leave the seed to the plan."""
    if any(path in (SEED, SEED.partition(".")[0]) for path in changes):
        raise Fault(place, f"{SEED} is set by the plan's seeds, or --seeds", about=about or f"{place}:")
    return changes
