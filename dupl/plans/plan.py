"""A plan: the rows, columns and seeds of an ablation table, and the runs that they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE, Schema, suggestion
from dupl.config.fingerprint import Texts, config_id
from dupl.config.kinds import Fault
from dupl.errors import UserError
from dupl.plans.checks import change, checked, located, merge, unknown
from dupl.plans.factors import Column, Factor, read_columns, read_factors
from dupl.plans.metric_check import check_metric, most_students
from dupl.plans.plan_file import PlanFile
from dupl.plans.row_configs import SEED, check_seeds, configure, differences, refuse_twins, without_seed
from dupl.plans.rows import Row, kind_of, label_map_row, read_rows
from dupl.runs import label_maps

if TYPE_CHECKING:
    from mmengine.config import Config

    from dupl.data.identity import Memo

__all__ = ["Column", "Plan", "PlannedRun", "Row", "load"]

PREVIOUS = "previous"  # value of `compare`: each row is compared with the one above


@dataclass(frozen=True)
class Plan:
    """The rows, columns and seeds of an ablation table.

    Attributes:
        name: Name of the plan file.
        title: Title of the table, one line.
        doc: Docstring of the file.
        base: Recipe that the rows change.
        seeds: Each row is trained once with each of them.
        set: Changes of all rows by path, applied first.
        factors: Labels of the factors by key, in order; empty in a plan that varies values.
        columns: What is measured.
        rows: The rows, in order.
        kind: Where the rows come from: "rows" (listed in the file), "leave_one_out", "vary" or "factorial".
        compare: What a row is compared with: "previous" (the row above) or the key of a row.
        ratio: Keys of rows whose value is also shown in percent of another row's, with the key of that row.
        heading: Heading of the column of labels; "" except in a plan that varies one value.
        reference: A line below the table about numbers that cannot be compared; "" where there is none.
        schema: What the recipes of the rows may contain; None leaves that open.
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
    ratio: dict[str, str] = field(default_factory=dict)
    heading: str = ""
    reference: str = ""
    schema: Schema | None = field(default=RECIPE, repr=False, compare=False)

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that the columns need, "train" or "final" or both; "final" is evaluated after training."""
        return tuple(p for p in ("train", "final") if p in {column.protocol for column in self.columns})

    @property
    def best_protocols(self) -> tuple[str, ...]:
        """The protocols of the columns that report the best checkpoint."""
        return tuple(dict.fromkeys(column.protocol for column in self.columns if column.report == "best"))

    def against(self, row: Row) -> Row | None:
        """Return the row that a row is compared with; None for the first one, or a row that is compared with none."""
        if row.printed:
            return None
        if self.compare == PREVIOUS:
            before = [other for other in self.rows[: self._places[row.key]] if not other.printed]
            return before[-1] if before else None
        place = self._places.get(self.compare, -1)
        return None if place < 0 or self.compare == row.key else self.rows[place]

    @cached_property
    def _places(self) -> dict[str, int]:
        """The place of each row by its key."""
        return {row.key: place for place, row in enumerate(self.rows)}

    @property
    def trained(self) -> tuple[Row, ...]:
        """The rows that runs of this package stand behind."""
        return tuple(row for row in self.rows if row.trained)

    def evaluations(self, report: str = "last") -> dict[tuple[str, str], tuple[str, ...]]:
        """Return what is evaluated after training: metrics by protocol and entry of the data.

        The best weights are evaluated as in training only where training did not record which ones they are.

        Args:
            report: Which weights, "last" or "best".
        """
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for column in self.columns:
            of_training = report == "last" and (column.protocol, column.entry) == ("train", "val")
            if column.report == report and not of_training:
                found.setdefault((column.protocol, column.entry), ())
                found[column.protocol, column.entry] += (column.metric,)
        return found

    def with_label_maps(self, names: Sequence[str]) -> Plan:
        """Return the plan with a row for each name of label maps that another program made.

        Raises:
            UserError: A row of the plan has that name, or ``names`` is a text.
        """
        _refuse_text(names, "masks")
        for name in names:
            if name in self._places:
                raise UserError(f"{self.name} has a row {name!r}: score the label maps under another name")
        return replace(self, rows=(*self.rows, *map(label_map_row, dict.fromkeys(names)))) if names else self

    def select(self, rows: Sequence[str] | None) -> Plan:
        """Return the plan with some of its rows, by their keys; with all of them where None."""
        if rows is None:
            return self
        ratio = {key: other for key, other in self.ratio.items() if key in rows and other in rows}
        return replace(self, rows=tuple(row for row in self.rows if row.key in rows), ratio=ratio)

    def expand(
        self,
        rows: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        sets: Mapping[str, Any] | None = None,
    ) -> list[PlannedRun]:
        """Return the runs of the plan: all rows with the first seed, then all rows with the next.

        Rows marked `alike` come as runs of the same fingerprint. Rows without a training, which have the paper's
        numbers or label maps of another program, have no runs.

        Args:
            rows: Keys of rows; None is all. They come in the plan's order.
            seeds: Instead of the plan's.
            sets: Values by path for every row, such as where data lies; they win over the plan's `set`, and the changes
                of a row win over them.

        Raises:
            UserError: There is no such row, seed or path, or two rows are the same run.
        """
        from dupl.data.identity import Memo  # the data sets need packages that a plan does not

        chosen = self._chosen(rows)
        found = self._resolve(chosen, sets) if sets else self._resolved
        bases = {row.key: found.bases[found.recipes[row.key]] for row in chosen}
        changes = {key: differences(base, found.configs[key]) for key, base in bases.items()}
        runs, memo = [], Memo(texts=found.texts)
        for seed in check_seeds(self.seeds if seeds is None else seeds):
            for key in bases:
                values = overrides.apply_to_values(found.configs[key], {SEED: seed})
                runs.append(PlannedRun.of(self.name, key, values, found.recipes[key], changes[key], memo))
        return runs

    def label_map_runs(
        self,
        rows: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        sets: Mapping[str, Any] | None = None,
    ) -> list[PlannedRun]:
        """Return the entries of the rows of label maps as runs: the same one for every seed.

        Args:
            rows: As of `expand`.
            seeds: As of `expand`.
            sets: As of `expand`; they say where the data lie.
        """
        chosen = [row for row in self.rows if row.masks and (rows is None or row.key in rows)]
        if not chosen:
            return []
        base = overrides.apply(catalogue.load_values(self.base, self.schema), merge(self.set, sets or {}), self.schema)
        shown = {"data": base.get("data"), "evaluation": {"subset": (base.get("evaluation") or {}).get("subset")}}
        runs = []
        for seed in check_seeds(self.seeds if seeds is None else seeds):
            for row in chosen:
                values = {**label_maps.entry_config(row.masks), **shown}
                name = label_maps.entry_id(row.masks)
                runs.append(PlannedRun(self.name, row.key, seed, values, name, self.base, {}, masks=row.masks))
        return runs

    def _chosen(self, rows: Sequence[str] | None) -> list[Row]:
        """Return the rows that are trained, by their keys; all of them where None."""
        _refuse_text(rows, "rows")
        for key in rows or ():
            if key not in self._places:
                raise UserError(f"{self.name} has no row {key!r}{suggestion(key, [row.key for row in self.rows])}")
        return [row for row in self.trained if rows is None or row.key in rows]

    @cached_property
    def _resolved(self) -> _Resolved:
        """All rows that are trained, as the plan states them."""
        return self._resolve(self.trained, {})

    def _resolve(self, rows: Sequence[Row], sets: Mapping[str, Any]) -> _Resolved:
        """Resolve the recipes of rows, without looking at data."""
        sets = without_seed(sets, "sets")
        recipes = {row.key: row.base or self.base for row in rows}
        whole = tuple(f"{path}." for path in self.set)
        known = {path: value for path, value in sets.items() if not path.startswith(whole)}  # `every` has the others
        bases = {
            recipe: overrides.apply(catalogue.load_values(recipe, self.schema), known, self.schema)
            for recipe in dict.fromkeys(recipes.values())
        }
        every = merge(self.set, sets)
        configs = {row.key: configure(self.kind, row, every, bases[recipes[row.key]], self.schema) for row in rows}
        texts: Texts = {}
        refuse_twins(rows, configs, texts)
        return _Resolved(recipes, bases, configs, texts)


@dataclass(frozen=True)
class _Resolved:
    """Rows as plain values, which do not change.

    Attributes:
        recipes: Name of the base of each row, by its key.
        bases: Values of the bases by name.
        configs: Values of the rows by key.
        texts: Of their sections, see `dupl.config.fingerprint.config_id`.
    """

    recipes: dict[str, str]
    bases: dict[str, dict[str, Any]]
    configs: dict[str, dict[str, Any]]
    texts: Texts


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan.

    Attributes:
        plan: Name of the plan.
        row: Key of the row.
        seed: Seed of the run, which is also the config's `runtime.seed`.
        values: The resolved recipe as plain values; runs share parts of them.
        fingerprint: Id of the run; runs of several plans may share it. That of the config alone where the data are not
            known here.
        recipe: Name of the base.
        changes: Old and new value by path, compared with the base (with the `sets` of the call); without the seed, and
            without the arguments that went with a component whose type was swapped.
        absent: Why the data are not known here; "" where they are.
        masks: Name of the label maps of another program that stand in the place of a run; "" for a run.
    """

    plan: str
    row: str
    seed: int
    values: dict[str, Any] = field(repr=False)
    fingerprint: str
    recipe: str
    changes: dict[str, tuple[Any, Any]] = field(repr=False)
    absent: str = ""
    masks: str = ""

    @classmethod
    def of(
        cls,
        plan: str,
        row: str,
        values: dict[str, Any],
        recipe: str,
        changes: dict[str, tuple[Any, Any]],
        memo: Memo | None = None,
    ) -> PlannedRun:
        """Identify the run of a resolved recipe, and describe it; ``memo`` keeps what was identified before."""
        from dupl.data.identity import identify

        found = identify(values, memo=memo)
        return cls(plan, row, values["runtime"]["seed"], values, found.run, recipe, changes, found.absent)

    @cached_property
    def config(self) -> Config:
        """The resolved recipe."""
        return catalogue.as_config(self.values)


def load(name: str | Path, schema: Schema | None = RECIPE) -> Plan:
    """Read a plan file and check it against its base.

    Args:
        name: A name such as "table4_components" (found as recipes are, in `ablations`), or the path of a file.
        schema: What the recipes of the rows may contain; None leaves that open.

    Raises:
        UserError: There is no such plan, or it has a fault: an unknown key, a path that the base does not have, a value
            that the schema does not allow, two rows that are the same run. The message names file and line.
    """
    path = catalogue.resolve(name, "ablations")
    reading = catalogue.declared(path)
    text = str(name).removesuffix(".py")
    try:
        values = checked(reading.values, PlanFile, "")
        plan, factors = _read(values, text if text in catalogue.names("ablations") else path.stem, path, schema)
        base = change(catalogue.load(plan.base, schema), without_seed(plan.set, "set"), schema, "set")
        _check_factors(base, factors, schema)
        resolved = plan._resolved
        for column in plan.columns if schema is RECIPE else ():
            where, students = f"columns.{column.key}.metric", most_students(resolved.configs.values())
            check_metric(column.metric, catalogue.plain(base), column.protocol, where, students)
    except UserError as error:
        raise located(error, reading.origins) from None
    if plan.compare:
        return plan
    found = replace(plan, compare=_like_base(plan, base))
    vars(found)["_resolved"] = resolved  # what rows are compared with does not change them
    return found


def _like_base(plan: Plan, base: Config) -> str:
    """Return the key of the row that is the base itself; of the first row where none is."""
    first, texts = {SEED: plan.seeds[0]}, plan._resolved.texts
    same = config_id(overrides.apply(base, first))
    of_rows = ((key, overrides.apply_to_values(values, first)) for key, values in plan._resolved.configs.items())
    return next((key for key, values in of_rows if config_id(values, texts) == same), plan.trained[0].key)


def _read(values: dict[str, Any], name: str, path: Path, schema: Schema | None) -> tuple[Plan, dict[str, Factor]]:
    """Build a plan from the values of its file; `compare` is "" where it depends on the base."""
    columns, factors = read_columns(values), read_factors(values)
    rows, kind = read_rows(values, columns, factors), kind_of(values)
    compare = values.get("compare", {"rows": "previous", "vary": ""}.get(kind, "full"))
    keys = [row.key for row in rows]
    if compare not in ("previous", "", *keys):
        raise unknown("compare", "names no row", compare, ["previous", *keys])
    if all(not row.trained for row in rows):
        raise Fault("rows", "has printed numbers and label maps alone: a plan needs a row that is trained")
    if compare in {row.key for row in rows if row.printed}:
        raise Fault("compare", f"names {compare}, whose numbers are printed: rows are compared by their runs")
    for key, other in values.get("ratio", {}).items():
        for row in (key, other):
            if row not in keys:
                raise unknown("ratio", "names no row", row, keys)
    doc = catalogue.docstring(path, "ablations")
    plan = Plan(
        name=name,
        title=values.get("title", doc.partition("\n")[0].rstrip(".")) or name,
        doc=doc,
        base=values["base"],
        seeds=check_seeds(values.get("seeds", (0,))),
        set=values.get("set", {}),
        factors={key: factor.label for key, factor in factors.items()},
        columns=columns,
        rows=rows,
        kind=kind,
        compare=compare,
        ratio=dict(values.get("ratio", {})),
        heading=values["vary"].get("label", "") if kind == "vary" else "",
        reference=values.get("reference", ""),
        schema=schema,
    )
    return plan, factors


def _refuse_text(names: Sequence[str] | None, what: str) -> None:
    """Refuse a text where a list of names belongs: its letters would be taken for names."""
    if isinstance(names, str):
        raise UserError(f"{what} is the text {names!r}: give a list of names, [{names!r}]")


def _check_factors(base: Config, factors: Mapping[str, Factor], schema: Schema | None) -> None:
    """Apply every side of every factor to the base, by itself."""
    for key, factor in factors.items():
        for side, changes in (("without", factor.without), ("with_", factor.with_)):
            change(base, changes, schema, f"factors.{key}.{side}")
