"""The language of plan files: their keys, columns and factors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dupl.config import overrides
from dupl.config.check import Checker, Schema, suggestion
from dupl.config.describe import describe
from dupl.config.kinds import Fault, In
from dupl.config.reader import Origins
from dupl.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

PROTOCOLS = ("train", "final")

Paths = dict[str, Any]  # values by path of the config


@dataclass(frozen=True)
class ColumnFile:
    """A column of a plan file.

    Attributes:
        metric: Name of the metric, such as "cam/best/mIoU".
        label: As printed; the key by default.
        protocol: "train" is what training measures by itself; "final" is evaluated after it.
    """

    metric: str
    label: str = ""
    protocol: Literal["train", "final"] = "train"


@dataclass(frozen=True)
class FactorFile:
    """A factor of a plan file: something that a row has or has not.

    Attributes:
        label: As printed; the key by default.
        without: Changes of rows that do not have it.
        with_: Changes of rows that have it.
        needs: Keys of factors without which it means nothing.
    """

    label: str = ""
    without: Paths = field(default_factory=dict)
    with_: Paths = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RowFacts:
    """What any row of a plan file may say of itself.

    Attributes:
        label: As printed; by default what came to the row before.
        paper: The paper's number by column key.
        note: A footnote.
    """

    label: str = ""
    paper: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class RowFile(RowFacts):
    """A row of a plan file.

    Attributes:
        label: As printed; by default what came to the row before.
        paper: The paper's number by column key.
        note: A footnote.
        has: Keys of the factors that are on; required where there are factors.
        set: Changes of its own, applied last.
        base: Another recipe than the plan's.
        alike: Key of a row that is the same run, on purpose.
    """

    has: list[str] = field(default_factory=list)
    set: Paths = field(default_factory=dict)
    base: str = ""
    alike: str = ""


@dataclass(frozen=True)
class VaryFile:
    """One row per value.

    Attributes:
        paths: Values of the config that all take it.
        values: The values, or a dict of them by the key of the row.
        label: Heading of the rows.
    """

    paths: list[str]
    values: list[Any] | dict[str, Any]
    label: str = ""


@dataclass(frozen=True)
class PlanFile:
    """A plan: which runs make a table.

    Attributes:
        base: Recipe that the rows change.
        columns: What is measured, by key.
        title: One line; the first of the docstring by default.
        seeds: Each row is trained once with each.
        set: Changes of all rows, applied first.
        factors: What rows have or have not, by key.
        rows: The rows by key.
        vary: Instead of rows: one per value.
        leave_one_out: Instead of rows: the full model, then it without each factor, or without each of those named.
        factorial: Instead of rows: every combination of the factors, or of those named.
        compare: What differences are against: "previous", or the key of a row.
        reference: A line below the table, on numbers that are no ground for comparison.
    """

    base: str
    columns: dict[str, ColumnFile] = field(default_factory=dict)
    title: str = ""
    seeds: list[Annotated[int, In("[0, inf)")]] = field(default_factory=lambda: [0])
    set: Paths = field(default_factory=dict)
    factors: dict[str, FactorFile] = field(default_factory=dict)
    rows: dict[str, RowFile] = field(default_factory=dict)
    vary: VaryFile | None = None
    leave_one_out: bool | list[str] = False
    factorial: bool | list[str] = False
    compare: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        key: Unique in the plan.
        label: As printed.
        metric: Name of the metric, such as "cam/best/mIoU".
        protocol: "train": what training measures by itself; "final": needs `dupl eval RUN --protocol final`.
    """

    key: str
    label: str
    metric: str
    protocol: str


@dataclass(frozen=True)
class Factor:
    """Something that a row has or has not.

    Attributes:
        label: As printed.
        without: Overrides of rows that do not have it.
        with_: Overrides of rows that do.
        needs: Keys of factors without which it means nothing.
    """

    label: str
    without: dict[str, Any]
    with_: dict[str, Any]
    needs: tuple[str, ...]


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return one set of overrides that does what the given ones do one after the other.

    A path given again is applied where it stands last, and drops what was set at it or below it before.
    """
    merged: dict[str, Any] = {}
    for path, value in itertools.chain.from_iterable(layer.items() for layer in layers):
        merged = {p: v for p, v in merged.items() if p != path and not p.startswith(f"{path}.")}
        merged[path] = value
    return merged


def unknown(path: str, text: str, key: object, known: Iterable[str]) -> Fault:
    """Return the error for a name that is none, with the closest one.

    Args:
        path: Where it stands.
        text: What it is meant to be: "names no factor".
        key: The name.
        known: The names that there are.
    """
    return Fault(path, f"{text} {key!r}{suggestion(key, known)}")


def checked(values: Any, kind: type, path: str) -> dict[str, Any]:
    """Return the values, if they fit the fields of a dataclass.

    Raises:
        Fault: They do not.
    """
    for fault in Checker().section(values, describe(kind), path):
        raise fault
    return dict(values)


def located(error: UserError, origins: Origins) -> UserError:
    """Return an error in a file with the file and the line that it is about."""
    where = origins.of(error.path) if isinstance(error, Fault) and not error.where else str(origins.file)
    return UserError(f"{where}: {error}")


def change(base: Config, changes: Mapping[str, Any], schema: Schema | None, place: str, about: str = "") -> Config:
    """Return a changed config.

    Args:
        base: The config.
        changes: Values by path.
        schema: What it may hold; None leaves that open.
        place: Where in the file the changes stand.
        about: How a message begins; with the place by default.

    Raises:
        Fault: They do not fit; it is of their place in the file.
    """
    try:
        return overrides.apply(base, changes, schema)
    except Fault as fault:
        culprit = overrides.nearest(fault.path, changes)
        raise Fault(f"{place}.{culprit}", f"{fault.path} {fault.text}", about=about or f"{place}:") from None
    except UserError as error:
        raise Fault(place, str(error), about=about or f"{place}:") from None


def read_columns(values: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns of a plan file.

    Raises:
        Fault: There is none.
    """
    columns = []
    for key, value in values.get("columns", {}).items():
        columns.append(Column(key, value.get("label", key), value["metric"], value.get("protocol", "train")))
    if not columns:
        raise Fault("", 'needs columns, such as columns = dict(Seg=dict(metric="seg/best/mIoU"))')
    return tuple(columns)


def read_factors(values: Mapping[str, Any]) -> dict[str, Factor]:
    """Return the factors of a plan file by key.

    Raises:
        Fault: One does nothing, or needs one that there is not.
    """
    factors, given = {}, values.get("factors", {})
    for key, factor in given.items():
        where = f"factors.{key}"
        if not factor.get("without") and not factor.get("with_"):
            raise Fault(where, "changes nothing: give without={path: value} or with_={path: value}")
        needs = read_names(factor.get("needs", ()), given, f"{where}.needs")
        factors[key] = Factor(factor.get("label", key), factor.get("without", {}), factor.get("with_", {}), needs)
    return factors


def read_names(names: Sequence[Any], known: Iterable[str], where: str) -> tuple[str, ...]:
    """Return the names in the order of the known ones, if each is known and stands once.

    Raises:
        Fault: One is not, or does not.
    """
    known = list(known)
    for i, name in enumerate(names):
        if name not in known:
            raise unknown(where, "names no factor", name, known)
        if name in names[:i]:
            raise Fault(where, f"names {name} twice")
    return tuple(name for name in known if name in names)
