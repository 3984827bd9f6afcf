"""The rows of a plan: listed in its file, or derived from its factors or values.

Nothing here depends on the recipe of the plan; `dupl.plans.row_configs` applies rows to it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dupl.config.kinds import Fault
from dupl.plans.checks import checked, merge, unknown
from dupl.plans.factors import Column, Factor, read_names
from dupl.plans.plan_file import RowFacts

Derive = Callable[[Any, Mapping[str, Factor]], Iterator["Row"]]
ROW_KEY = re.compile(r"[A-Za-z0-9][\w.+-]*")
MOST_FACTORS = 10  # in a factorial, whose rows are 2 to that power


@dataclass(frozen=True)
class Row:
    """A row of a plan: one config, trained once with each seed.

    Attributes:
        key: Unique in the plan.
        label: Label in the table.
        has: Keys of the factors that are on.
        overrides: Changes by path, applied to the base in this order, after the plan's `set`.
        paper: The paper's number by column key.
        note: Text of a footnote.
        base: Recipe of this row; "" is the plan's.
        alike: Key of a row that is the same run, on purpose.
        printed: Whether it has the numbers of the paper alone; no run stands behind it.
        masks: Name of label maps of another program, whose scores stand in a store; "" for a row that is trained.
    """

    key: str
    label: str
    has: tuple[str, ...] = ()
    overrides: dict[str, Any] = field(default_factory=dict)
    paper: dict[str, float] = field(default_factory=dict)
    note: str = ""
    base: str = ""
    alike: str = ""
    printed: bool = False
    masks: str = ""

    @property
    def trained(self) -> bool:
        """Whether runs of this package stand behind the row."""
        return not (self.printed or self.masks)


PRINTED = "the number that the paper prints; not run here"
GIVEN = "label maps of another program, scored as given"


def label_map_row(name: str, label: str = "") -> Row:
    """Return a row of label maps that another program made."""
    return Row(name, label or name, note=GIVEN, masks=name)


def read_rows(values: Mapping[str, Any], columns: Sequence[Column], factors: Mapping[str, Factor]) -> tuple[Row, ...]:
    """Return the rows of a plan file, listed or derived.

    Raises:
        Fault: A name is unknown, a key is in the wrong place, or a factor is on without one that it needs.
    """
    kind, given = kind_of(values), values.get("rows", {})
    if kind == "rows":
        rows = list(_typed(given, factors, values.get("compare", "previous")))
    else:
        rows = list(DERIVED[kind](values[kind], factors))
        keys = dict.fromkeys(row.key for row in rows)
        for key, facts in given.items():
            if key not in keys:
                raise unknown(f"rows.{key}", "is no row:", key, keys)
            checked(facts, RowFacts, f"rows.{key}")
    if not rows:
        raise Fault("", f"needs rows, or one of {', '.join(DERIVED)}")
    rows = [_with_facts(row, given.get(row.key, {}), columns) for row in rows]
    known = {row.key for row in rows}
    for row in rows:
        if not ROW_KEY.fullmatch(row.key):
            text = "has a key that is not of letters, digits and _ . + -; values=dict(KEY=...) names one"
            raise Fault(f"rows.{row.key}", text, about=f"row {row.key!r}")
        if row.alike and row.alike not in known:
            raise unknown(f"rows.{row.key}.alike", "names no row", row.alike, known)
    return tuple(rows)


def kind_of(values: Mapping[str, Any]) -> str:
    """Return where the rows of a plan come from: "rows" (listed), "vary", "leave_one_out" or "factorial".

    Raises:
        Fault: The file has several of them.
    """
    kinds = [kind for kind in DERIVED if values.get(kind) not in (None, False)]
    if len(kinds) > 1:
        raise Fault(kinds[1], f"is one of {', '.join(DERIVED)}, not {' and '.join(kinds)}", about="a plan")
    return kinds[0] if kinds else "rows"


def _switched(has: Sequence[str], factors: Mapping[str, Factor]) -> dict[str, Any]:
    """Return the changes of a row that has these factors and not the others.

    Raises:
        Fault: Two of them change the same value, so that one would undo the other.
    """
    sides = {key: factor.with_ if key in has else factor.without for key, factor in factors.items()}
    for (key, changes), (other, others) in itertools.combinations(sides.items(), 2):
        for path, later in itertools.product(changes, others):
            nested = path != later and (path.startswith(f"{later}.") or later.startswith(f"{path}."))
            if nested or (path == later and changes[path] != others[path]):
                text = f"and {other} both change {max(path, later, key=len)}: make them one"
                raise Fault(f"factors.{other}", text, about=f"factors {key}")
    return merge(*sides.values())


def _typed(rows: Mapping[str, Any], factors: Mapping[str, Factor], compare: str) -> Iterator[Row]:
    """Yield the rows of the file; a label that is missing says what was added to the row before, or to `compare`."""
    known: dict[str, tuple[str, ...]] = {}
    for key, row in rows.items():
        if row.get("printed") or row.get("masks"):
            yield _untrained(key, row)
            continue
        if factors and "has" not in row:
            raise Fault(f"rows.{key}", f"needs has: the keys of its factors, from {', '.join(factors)}")
        has = read_names(row.get("has", ()), factors, f"rows.{key}.has")
        for name in has:
            if missing := [need for need in factors[name].needs if need not in has]:
                raise Fault(f"rows.{key}.has", f"lacks something: {name} needs {', '.join(missing)}")
        before = known.get(compare, next(reversed(known.values()), None))
        known[key] = has
        overrides = merge(_switched(has, factors), row.get("set", {}))
        label = _label(has, before, factors) if factors else key
        yield Row(key, label, has, overrides, base=row.get("base", ""), alike=row.get("alike", ""))


def _untrained(key: str, row: Mapping[str, Any]) -> Row:
    """Return a row of the paper's numbers, or of label maps of another program.

    Raises:
        Fault: It says something of a training, or is both, or has no number.
    """
    for name in ("has", "set", "base", "alike"):
        if row.get(name):
            raise Fault(f"rows.{key}.{name}", "says how a run is trained, and a row with printed or masks has none")
    if row.get("printed") and row.get("masks"):
        raise Fault(f"rows.{key}.masks", "and printed exclude each other: leave one out")
    if row.get("printed") and not row.get("paper"):
        raise Fault(f"rows.{key}.paper", "is missing: a printed row consists of the paper's numbers")
    if row.get("printed"):
        return Row(key, key, note=PRINTED, printed=True)
    return replace(label_map_row(str(row["masks"])), key=key, label=key)


def _label(has: Sequence[str], before: Sequence[str] | None, factors: Mapping[str, Factor]) -> str:
    if not has:
        return "Baseline"
    added = before is not None and set(before) < set(has)
    new = [factors[key].label for key in has if not added or key not in (before or ())]
    return ("+ " if added else "") + " + ".join(new)


def _vary(vary: dict[str, Any], factors: Mapping[str, Factor]) -> Iterator[Row]:
    """Yield one row per value, which all paths take."""
    if factors:
        raise Fault("vary", "cannot be combined with factors: write what all rows share as set = {path: value}")
    paths, values = vary["paths"], vary["values"]
    if not paths:
        raise Fault("vary.paths", "is []: write a list of paths, such as model.threshold.final")
    named = list(values.items()) if isinstance(values, dict) else [(str(value), value) for value in values]
    keys = set[str]()
    for key, value in named:
        if key in keys:
            raise Fault("vary.values", f"names {key} twice")
        keys.add(key)
        yield Row(key, key, overrides={path: value for path in paths})


def _leave_one_out(which: bool | list[str], factors: Mapping[str, Factor]) -> Iterator[Row]:
    """Yield the full model, then the model without each factor and without the factors that need it."""
    yield Row("full", "Full", tuple(factors), _switched(list(factors), factors))
    for key in _chosen(which, factors, "leave_one_out"):
        gone = {key}
        while more := {k for k, factor in factors.items() if k not in gone and gone & set(factor.needs)}:
            gone |= more
        has = tuple(k for k in factors if k not in gone)
        label = "without " + ", ".join(factor.label for k, factor in factors.items() if k in gone)
        yield Row(f"without_{key}", label, has, _switched(has, factors))


def _factorial(which: bool | list[str], factors: Mapping[str, Factor]) -> Iterator[Row]:
    """Yield a row for every combination of the named factors whose needs are met; the other factors stay on."""
    keys = _chosen(which, factors, "factorial")
    if len(keys) > MOST_FACTORS:
        text = f"combines {len(keys)} factors in {2 ** len(keys)} rows: name at most {MOST_FACTORS} of them"
        raise Fault("factorial", text)
    for switches in itertools.product((False, True), repeat=len(keys)):
        on = [key for key, switch in zip(keys, switches, strict=True) if switch]
        has = tuple(key for key in factors if key in on or key not in keys)
        if any(need not in has for key in has for need in factors[key].needs):
            continue
        label = " + ".join(factors[key].label for key in on) or "none"
        yield Row("full" if on == list(keys) else "+".join(on) or "none", label, has, _switched(has, factors))


def _chosen(which: bool | list[str], factors: Mapping[str, Factor], where: str) -> tuple[str, ...]:
    keys = tuple(factors) if which is True else read_names(which or (), factors, where)
    if not keys:
        raise Fault(where, "needs factors = dict(KEY=dict(label=..., without={path: value}))")
    return keys


def _with_facts(row: Row, facts: Mapping[str, Any], columns: Sequence[Column]) -> Row:
    """Return a row with its label, the paper's numbers and its note from the file."""
    for key in facts.get("paper", {}):
        if key not in [column.key for column in columns]:
            raise unknown(f"rows.{row.key}.paper", "names no column", key, [column.key for column in columns])
    note = "; ".join(filter(None, [row.note, facts.get("note", "")]))
    return replace(row, label=facts.get("label", row.label), paper=dict(facts.get("paper", {})), note=note)


DERIVED: dict[str, Derive] = {"vary": _vary, "leave_one_out": _leave_one_out, "factorial": _factorial}
