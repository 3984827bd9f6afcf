"""The language of plan files: known keys, columns and factors. docs/ablations.md tells it."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dupl.errors import UserError

PROTOCOLS = ("train", "final")

Shape = dict[str, tuple[type, ...]]
STRING, DICT, LIST, CHOICE = (str,), (dict,), (list, tuple), (bool, list, tuple)
PLAN: Shape = dict(
    base=STRING,
    title=STRING,
    reference=STRING,
    compare=STRING,
    seeds=LIST,
    set=DICT,
    columns=DICT,
    factors=DICT,
    rows=DICT,
    vary=DICT,
    leave_one_out=CHOICE,
    factorial=CHOICE,
)
COLUMN: Shape = dict(label=STRING, metric=STRING, protocol=STRING)
FACTOR: Shape = dict(label=STRING, without=DICT, with_=DICT, needs=LIST)
FACTS: Shape = dict(label=STRING, paper=DICT, note=STRING)  # what any row may say of itself
ROW: Shape = {**FACTS, "has": LIST, "set": DICT, "base": STRING, "alike": STRING}
VARY: Shape = dict(label=STRING, paths=LIST, values=(*DICT, *LIST))
KIND_NAMES = {str: "a string", dict: "a dict", list: "a list", bool: "True"}


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
    """One set of overrides that does what the given ones do one after the other.

    A path given again is applied where it stands last, and drops what was set at it or below it before.
    """
    merged: dict[str, Any] = {}
    for path, value in itertools.chain.from_iterable(layer.items() for layer in layers):
        merged = {p: v for p, v in merged.items() if p != path and not p.startswith(f"{path}.")}
        merged[path] = value
    return merged


def unknown(what: str, key: object, known: Iterable[str]) -> UserError:
    """The error for a name that is none, with the closest one."""
    names = list(known)
    close = difflib.get_close_matches(str(key), names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names) or 'none'}"
    return UserError(f"{what} {key!r}: {hint}")


def checked(values: Any, shape: Shape, where: str, required: Sequence[str] = ()) -> dict[str, Any]:
    """The values, if they are a dict of known keys, each of its kind.

    Args:
        values: What the file says.
        shape: Kinds by key.
        where: Where it stands in the file; "" is the file itself.
        required: Keys that must be there.

    Raises:
        UserError: Anything else.
    """
    if not isinstance(values, dict):
        raise UserError(f"{where} is {values!r}: write a dict of {', '.join(shape)}")
    inside = f"{where}." if where else ""
    for key, value in values.items():
        if key not in shape:
            raise unknown(f"{where or 'a plan'} has no key", key, shape)
        if not isinstance(value, shape[key]):
            names = [KIND_NAMES[kind] for kind in shape[key] if kind in KIND_NAMES]
            raise UserError(f"{inside}{key} is {value!r}: write {' or '.join(names)}")
    if lacking := [key for key in required if key not in values]:
        raise UserError(f"{where or 'a plan'} needs {', '.join(lacking)}")
    return values


def read_columns(values: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of a plan file.

    Raises:
        UserError: There is none, or one is not well-formed.
    """
    columns = []
    for key, value in values.get("columns", {}).items():
        column = checked(value, COLUMN, f"columns.{key}", ["metric"])
        protocol = column.get("protocol", "train")
        if protocol not in PROTOCOLS:
            raise unknown(f"columns.{key}.protocol is", protocol, PROTOCOLS)
        columns.append(Column(key, column.get("label", key), column["metric"], protocol))
    if not columns:
        raise UserError('a plan needs columns, such as columns = dict(Seg=dict(metric="seg/best/mIoU"))')
    return tuple(columns)


def read_factors(values: Mapping[str, Any]) -> dict[str, Factor]:
    """The factors of a plan file by key.

    Raises:
        UserError: One is not well-formed, or does nothing.
    """
    factors, given = {}, values.get("factors", {})
    for key, value in given.items():
        where = f"factors.{key}"
        factor = checked(value, FACTOR, where)
        if not factor.get("without") and not factor.get("with_"):
            raise UserError(f"{where} changes nothing: give without={{path: value}} or with_={{path: value}}")
        needs = read_names(factor.get("needs", ()), given, f"{where}.needs")
        factors[key] = Factor(factor.get("label", key), factor.get("without", {}), factor.get("with_", {}), needs)
    return factors


def read_names(names: Sequence[Any], known: Iterable[str], where: str) -> tuple[str, ...]:
    """The names, if each is known and stands once."""
    known = list(known)
    for i, name in enumerate(names):
        if name not in known:
            raise unknown(f"{where}: no factor", name, known)
        if name in names[:i]:
            raise UserError(f"{where} names {name} twice")
    return tuple(name for name in known if name in names)
