"""Evaluate the expressions of recipes, plans and sweeps without executing them."""

from __future__ import annotations

import ast
import copy
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_VALUES = 100_000  # that one file may produce
MOST_DIGITS = 1_000  # bits of a whole number
MOST_TEXT = 10_000  # characters of a text that is put together
BASE = "_base_"
REFERENCE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
SUBSTITUTION = re.compile(r"\{\{[^{}]*\}\}")
FORMAT = re.compile(r"[0-9]{0,3}(\.[0-9]{1,2})?[a-z%]?")
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


class Refused(ValueError):
    """An expression that a config file may not hold.

    Args:
        node: The expression.
        reason: Why; by default that it is none of the known forms.
    """

    def __init__(self, node: ast.AST, reason: str = "is more than literals, and nothing is executed") -> None:
        text = " ".join(ast.unparse(node).split())
        super().__init__(f"{text if len(text) <= 60 else f'{text[:57]}...'} {reason}")
        self.line: int = getattr(node, "lineno", 0)


@dataclass
class Evaluator:
    """Evaluate constants, lists, tuples, dicts, and arithmetic and text made of them.

    Attributes:
        names: Values of the names that the file assigned above.
        base: Resolved values of the file's ``_base_``, for ``{{_base_.x.y}}``.
        source: Text of the file. It tells ``{{_base_.x}}`` from the same characters written with escapes.
        left: How many values the file may still produce.
        arithmetic: Whether numbers and texts are calculated with; on a command line 1-2 is a text.
    """

    names: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    left: int = MOST_VALUES
    arithmetic: bool = True

    def value(self, node: ast.expr) -> Any:
        """Evaluate one expression.

        Raises:
            Refused: It is anything but the forms above.
        """
        match node:
            case ast.Constant(value=None | str() | int() | float()):
                return self._constant(node)
            case ast.List(elts=items):
                return [self.value(item) for item in items]
            case ast.Tuple(elts=items):
                return tuple(self.value(item) for item in items)
            case ast.Dict() | ast.Call():
                return {key: self.value(item) for key, item in entries(node)}
            case ast.Name(id=name) if name in self.names:
                return self._copy(self.names[name], node)
            case ast.Set(elts=[ast.Set(elts=[ast.Attribute() as path])]):
                return self._of_base(ast.unparse(path).removeprefix(f"{BASE}."), node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                number = self.value(operand)
                if _is_number(number):
                    return -number if isinstance(sign, ast.USub) else number
            case ast.BinOp():
                return self._operation(node)
            case ast.JoinedStr(values=parts):
                return self._short("".join(self._part(part) for part in parts), node)
        raise Refused(node)

    def _constant(self, node: ast.Constant) -> Any:
        """Return a constant; a text may refer to values of the base."""
        if not isinstance(node.value, str) or "{{" not in node.value:
            return node.value
        written = ast.get_source_segment(self.source, node) or ""
        for found in SUBSTITUTION.findall(written):
            if not REFERENCE.fullmatch(found):
                raise Refused(node, f"holds {found}, and only {{{{_base_.NAME}}}} is substituted")
        if not REFERENCE.search(written):
            return node.value
        if whole := REFERENCE.fullmatch(node.value):
            return self._of_base(whole[1], node)
        return self._short(REFERENCE.sub(lambda found: str(self._of_base(found[1], node)), node.value), node)

    def _of_base(self, path: str, node: ast.expr) -> Any:
        """Return a value of the base."""
        value: Any = self.base
        for key in path.split("."):
            if not isinstance(value, Mapping) or key not in value:
                raise Refused(node, f"names {path}, which the _base_ does not have")
            value = value[key]
        return self._copy(value, node)

    def _operation(self, node: ast.BinOp) -> Any:
        """Return the result of arithmetic on numbers, or of a sum or product of lists or a sum of texts."""
        left, right = self.value(node.left), self.value(node.right)
        add, times = isinstance(node.op, ast.Add), isinstance(node.op, ast.Mult)
        if self.arithmetic and _is_number(left) and _is_number(right) and type(node.op) in OPERATORS:
            return _arithmetic(node, left, right)
        if add and type(left) is type(right) and isinstance(left, (list, tuple)):
            return left + right
        if self.arithmetic and add and isinstance(left, str) and isinstance(right, str):
            return self._short(left + right, node)
        if times and isinstance(left, (list, tuple)) and type(right) is int:
            self._spend(_size(left) * max(0, right), node)
            return left * right
        raise Refused(node)

    def _part(self, part: ast.expr) -> str:
        """Return one part of an f-string."""
        match part:
            case ast.Constant(value=str() as text):
                if f"{{{BASE}." in text:
                    raise Refused(
                        part, f"refers to a value of {BASE} in an f-string, which reads it as text: drop the f"
                    )
                return text
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                spec = ""
            case ast.FormattedValue(
                value=inner, conversion=-1, format_spec=ast.JoinedStr(values=[ast.Constant(value=str() as spec)])
            ) if FORMAT.fullmatch(spec):
                pass
            case _:
                raise Refused(part)
        value = self.value(inner)
        if not isinstance(value, (str, int, float)):
            raise Refused(part, "puts something else than a text or a number into a text")
        try:
            return format(value, spec)
        except (ValueError, OverflowError) as error:
            raise Refused(part, f"cannot be formatted: {error}") from None

    def _copy(self, value: Any, node: ast.expr) -> Any:
        self._spend(_size(value), node)
        return copy.deepcopy(value)

    def _short(self, text: str, node: ast.expr) -> str:
        if len(text) > MOST_TEXT:
            raise Refused(node, f"is longer than {MOST_TEXT} characters")
        return text

    def _spend(self, count: int, node: ast.expr) -> None:
        self.left -= count
        if self.left < 0:
            raise Refused(node, f"is more than literals: this file makes more than {MOST_VALUES} values")


def entries(node: ast.Dict | ast.Call) -> list[tuple[str, ast.expr]]:
    """Return the keys and the expressions of a dict, written ``{"a": 1}`` or ``dict(a=1)``.

    Raises:
        Refused: It is another call, unpacks something, or has a key twice or one that is no string.
    """
    found: list[tuple[str, ast.expr]] = []
    if isinstance(node, ast.Dict):
        for key, item in zip(node.keys, node.values, strict=True):
            if key is None:
                raise Refused(node)
            if not isinstance(key, ast.Constant):
                raise Refused(key)
            if not isinstance(key.value, str):
                raise Refused(key, "is a key; keys must be strings")
            found.append((key.value, item))
    else:
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or node.args:
            raise Refused(node)
        for keyword in node.keywords:
            if keyword.arg is None:
                raise Refused(node)
            found.append((keyword.arg, keyword.value))
    names = [name for name, _ in found]
    for i, (name, item) in enumerate(found):
        if name in names[:i]:
            raise Refused(item, f"is the second value of {name} in one dict")
    return found


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _arithmetic(node: ast.BinOp, left: float, right: float) -> float:
    """Return the result of an operation on two numbers, which stays a finite number of bounded length."""
    whole = type(left) is int and type(right) is int
    if isinstance(node.op, ast.Pow) and whole and int(left).bit_length() * abs(right) > MOST_DIGITS:
        raise Refused(node, "is too large a number")
    try:
        result = OPERATORS[type(node.op)](left, right)
    except OverflowError:
        raise Refused(node, "is too large a number") from None
    except (ArithmeticError, ValueError) as error:
        raise Refused(node, f"has no value: {error}") from None
    too_large = type(result) is int and result.bit_length() > MOST_DIGITS
    if isinstance(result, complex) or too_large or not math.isfinite(result):
        raise Refused(node, "is no number, or too large a one")
    return float(result) if type(result) is float else int(result)


def _size(value: Any) -> int:
    """Count the values in a value, itself included."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return 1 + sum(map(_size, items))
