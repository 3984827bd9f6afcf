"""Turn configs into plain values, and write them as text."""

from __future__ import annotations

import keyword
import math
from typing import TYPE_CHECKING, Any

from dupl.config.kinds import Fault

if TYPE_CHECKING:
    from mmengine.config import Config

SCALARS = frozenset({str, bool, int, type(None)})
WIDTH = 110  # columns of the text that `to_text` writes


def plain(value: Any, path: str = "") -> Any:
    """Copy a config, or a part of one, into plain dicts, lists, tuples and scalars, without `_delete_` marks.

    Args:
        value: An mmengine Config, or anything that stands in one.
        path: Where it stands, for the message.

    Raises:
        Fault: Something is neither a dict with string keys nor a list, tuple, string, finite number, boolean or None.
    """
    try:
        return _plain(value)
    except _Unfit as unfit:
        raise Fault(".".join(filter(None, [path, *map(str, unfit.keys)])), unfit.text) from None


class _Unfit(Exception):
    """A value that no config can hold, and the keys that lead to it; a path for every value would take long."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text, self.keys = text, list[object]()


def _plain(value: Any) -> Any:
    """Copy a value as `plain` does.

    Raises:
        _Unfit: Something in it is none that a config can hold.
    """
    kind = type(value)
    if kind in SCALARS or (kind is float and math.isfinite(value)):
        return value
    if kind in (list, tuple):
        return kind([_inside(i, item) for i, item in enumerate(value)])
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if not isinstance(value, dict):
        raise _Unfit(f"is {value!r}; a config holds only dicts, lists, strings, finite numbers and None")
    if bad := [key for key in value if not isinstance(key, str)]:
        raise _Unfit(f"has the key {bad[0]!r}; keys must be strings")
    return {
        key: item if type(item) in SCALARS else _inside(key, item) for key, item in value.items() if key != "_delete_"
    }


def _inside(key: object, value: Any) -> Any:
    try:
        return _plain(value)
    except _Unfit as unfit:
        unfit.keys.insert(0, key)
        raise


def to_text(config: Config | dict[str, Any]) -> str:
    """Write a resolved config as Python; a file of this text reads as an equal config.

    Raises:
        Fault: As `plain`.
    """
    return "".join(f"{name} = {_text(value, 0, len(name) + 3)}\n" for name, value in plain(config).items())


def _text(value: Any, indent: int, used: int) -> str:
    """Write one value, on one line if it fits beside the `used` columns, else one item a line."""
    if not isinstance(value, (dict, list, tuple)):
        return repr(value).replace("{{", "{\\x7b")  # double braces would be a value of the base
    inner, end = indent + 4, " " * indent
    items = [("", item) for item in value]
    opening, closing = "()" if isinstance(value, tuple) else "[]"
    if isinstance(value, dict):
        named = all(k.isascii() and k.isidentifier() and not keyword.iskeyword(k) for k in value)
        opening, closing = ("dict(", ")") if named else ("{", "}")
        items = [(f"{key}=" if named else f"{_text(key, 0, 0)}: ", item) for key, item in value.items()]
    flat = ", ".join(head + _text(item, 0, -(10**9)) for head, item in items)
    if isinstance(value, tuple) and len(value) == 1:
        flat += ","
    if used + len(opening + flat + closing) < WIDTH:
        return opening + flat + closing
    rows = [f"{' ' * inner}{head}{_text(item, inner, inner + len(head))},\n" for head, item in items]
    return f"{opening}\n{''.join(rows)}{end}{closing}"
