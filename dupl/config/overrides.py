"""Change a config by paths: `schedule.lr=1e-4` replaces one value, and the path must exist."""

from __future__ import annotations

import ast
import copy
import difflib
import os
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dupl.config.check import Schema
from dupl.config.expression import Evaluator
from dupl.config.fingerprint import canonical
from dupl.config.text import plain
from dupl.config.translate import replacement
from dupl.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

Values = TypeVar("Values", "Config", dict[str, Any])


class _OtherKind(UserError):
    """A new value is of another kind than the old one."""


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT: Final = _Absent()  # what `diff` reports for a path that one of the configs lacks
OPEN = (None, "auto")  # values that state nothing, so that anything may replace them, and they anything


def parse(texts: Iterable[str]) -> dict[str, Any]:
    """Read overrides as typed on a command line; of several for one path the last counts.

    Args:
        texts: Each "path=value"; the value is a literal as recipes have them (``dict(type="X")`` too), or else taken
            as the string it is.

    Returns:
        The values by path.

    Raises:
        UserError: A text has no "=", or nothing before it.
    """
    overrides = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            raise UserError(f"override {text!r}: write path=value, such as schedule.lr=1e-4")
        try:
            overrides[path.strip()] = Evaluator(arithmetic=False).value(ast.parse(value.strip(), mode="eval").body)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            overrides[path.strip()] = value
    return overrides


def apply(config: Values, overrides: Mapping[str, Any], schema: Schema | None = None) -> Values:
    """Replace values of a config; nothing is merged, and the config given stays as it is.

    A new value must be of the old one's kind: a number for a number, a list or tuple for either, a dict for a
    dict, a component (a dict with `type`) for a component. None and "auto" go with anything. Another kind is allowed
    where the schema names it, such as a list by class for one number. A key that the schema knows and the config leaves
    at its default may be stated.

    Args:
        config: A resolved config, or its plain values.
        overrides: The new values by path, parts joined by "."; a number is an index into a list.
        schema: What the config may hold; None leaves that open.

    Raises:
        UserError: A path does not exist, a value is of another kind, or the new values do not fit the schema; a `Fault`
            then has the override in its ``where``.
    """
    changed = copy.deepcopy(config)
    values = apply_to_values(plain(config), overrides, schema)
    for section in {path.split(".")[0] for path in overrides}:
        changed[section] = values[section]
    return changed


def apply_to_values(
    values: dict[str, Any], overrides: Mapping[str, Any], schema: Schema | None = None
) -> dict[str, Any]:
    """Replace values as `apply` does, in plain values; parts that stay are shared with the values given, not copied.

    Only the sections that are overridden are checked, as a fault elsewhere is not one of the overrides.

    Raises:
        UserError: As `apply`.
    """
    before = values
    for path, given in overrides.items():
        value = plain(given, path)
        stated = None if schema is None else _state(values, path, value, schema)
        values = stated or _change(values, path, value, schema)
    sections = {path.split(".")[0] for path in overrides}
    only = None if "custom_imports" in sections else sections
    if schema is not None and overrides and (faults := list(schema.faults(values, only=only))):
        known = {str(fault) for fault in schema.faults(before)}
        for fault in faults:
            if str(fault) not in known:
                raise fault.at(f"override {told(nearest(fault.path, overrides), overrides)}")
    return values


def nearest(path: str, overrides: Iterable[str]) -> str:
    """Return the override that a path is closest to: the one that has the most of its parts."""
    parts = path.split(".")
    return max(overrides, key=lambda one: len(os.path.commonprefix([parts, one.split(".")])))


def told(path: str, overrides: Mapping[str, Any]) -> str:
    """Write an override as it is typed."""
    return f"{path}={reprlib.repr(overrides[path])}"


def diff(old: Config | Mapping[str, Any], new: Config | Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Tell two configs apart: path -> (old value, new value), sorted by path, ABSENT where there is none.

    Two values are the same where their fingerprints would be: a list is equal to a tuple, 1 to 1.0.
    """
    return diff_values(plain(old), plain(new))


def diff_values(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Tell two configs apart as `diff` does, where both are plain values; parts that they share take no time."""
    return dict(sorted(_differences(old, new, "")))


def _differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    if old is new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differences(old.get(key, ABSENT), new.get(key, ABSENT), _join(path, key))
    elif old is ABSENT or new is ABSENT or canonical(old) != canonical(new):
        yield path, (old, new)


def _state(values: dict[str, Any], path: str, value: Any, schema: Schema) -> dict[str, Any] | None:
    """Return the values with a key that they left at its default; None where they have it, or the schema does not.

    In a model the key may also lie in a component that they leave out.
    """
    keys, node, depth = path.split("."), values, 0
    while depth < len(keys) and isinstance(node, dict) and keys[depth] in node:
        node, depth = node[keys[depth]], depth + 1
    below = keys[depth + 1 :]
    if depth == len(keys) or not isinstance(node, dict) or (below and keys[0] != "model"):
        return None
    for part in reversed(below):
        value = {part: value}
    changed = _with_key(values, keys[:depth], keys[depth], value)
    unknown = schema.unknown_keys(changed)
    return None if any(".".join(keys[: i + 1]) in unknown for i in range(depth, len(keys))) else changed


def _with_key(node: dict[str, Any], above: list[str], key: str, value: Any) -> dict[str, Any]:
    """Return nested dicts with one more key, below the keys that lead to its dict."""
    if not above:
        return {**node, key: value}
    return {**node, above[0]: _with_key(node[above[0]], above[1:], key, value)}


def _change(values: dict[str, Any], path: str, value: Any, schema: Schema | None) -> dict[str, Any]:
    """Return the values with a new one, which may be of another kind than the old one only where the schema says so."""
    keys = path.split(".")
    try:
        return dict(_replace(values, keys, value, "", path, values, _fit))
    except _OtherKind:
        changed = dict(_replace(values, keys, value, "", path, values, lambda old, new, path: new))
        if schema is None or any(fault.path.startswith(path) for fault in schema.faults(changed)):
            raise
        return changed


def _replace(
    node: Any,
    keys: list[str],
    value: Any,
    above: str,
    path: str,
    whole: dict[str, Any],
    fit: Callable[[Any, Any, str], Any],
) -> Any:
    """Return a copy of `node`, which stands at the path `above`, with `value` at the place that `keys` lead to."""
    if not keys:
        return fit(node, value, path)
    key, *rest = keys
    if isinstance(node, dict) and key in node:
        return {**node, key: _replace(node[key], rest, value, _join(above, key), path, whole, fit)}
    if isinstance(node, (list, tuple)) and key.isdecimal() and int(key) < len(node):
        items = list(node)
        items[int(key)] = _replace(items[int(key)], rest, value, _join(above, key), path, whole, fit)
        return type(node)(items)
    place = above or "the config"
    if new := replacement(path):
        raise UserError(f"override {path}: is gone: use {new} (docs/reference/upgrade.md)")
    if isinstance(node, dict):
        what = f"{place} has no {key!r}, only {', '.join(node) or 'nothing'}"
    elif isinstance(node, (list, tuple)):
        what = f"{place} has the indices 0 to {len(node) - 1}" if node else f"{place} is empty"
    else:
        what = f"{place} is {reprlib.repr(node)} and has no parts"
    close = difflib.get_close_matches(path, list(_paths(whole, "")), n=1, cutoff=0.5)
    raise UserError(f"override {path}: {what}{f'; did you mean {close[0]}?' if close else ''}")


def _fit(old: Any, new: Any, path: str) -> Any:
    """Return the new value, as a list or tuple, int or float like the old one where it can be.

    Raises:
        _OtherKind: It is of another kind.
    """
    if old in OPEN or new in OPEN:
        return new
    if isinstance(old, dict) and isinstance(new, dict):
        if "type" in old and "type" not in new:
            raise UserError(f"override {path}: a component needs its type; change one argument by {path}.NAME=")
        return new
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        return type(old)(new)
    if _kind(old) == _kind(new) == "a number":
        return int(new) if isinstance(old, int) and new == int(new) else new
    if _kind(old) == _kind(new):
        return new
    hint = {
        "True or False": "write True or False",
        "a string": f"write {path}=\"'{new}'\"",
        "a dict": f'write {path}=\'{{"type": "{new}"}}\'' if isinstance(new, str) else "write a dict",
    }.get(_kind(old), f"write {_kind(old)}")
    raise _OtherKind(f"override {path}: {reprlib.repr(new)} is {_kind(new)}, not {_kind(old)}; {hint}")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "True or False"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a dict" if isinstance(value, dict) else "a list"


def _paths(node: Any, above: str) -> Iterator[str]:
    """Yield every path in a config, of its parts and of its values."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, dict):
        pairs = node.items()
    elif isinstance(node, (list, tuple)):
        pairs = enumerate(node)
    for key, item in pairs:
        path = _join(above, key)
        yield path
        yield from _paths(item, path)


def _join(above: str, key: object) -> str:
    return f"{above}.{key}" if above else str(key)
