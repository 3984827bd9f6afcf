"""Python files read as values: assignments of literals. Nothing in them is executed, imported or looked up."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from dupl.errors import UserError

SUBSTITUTED = re.compile(r"\{\{[^{}]*\}\}")  # what mmengine replaces in the text before it is executed
MOST = 10_000  # values in one list that is written as a product
PRODUCTS = 200  # in one file


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file, which is not executed.

    Raises:
        UserError: It cannot be read, or is no Python.
    """
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: cannot be read: {error or 'it is nested too deeply'}") from None


def read_file(path: Path) -> dict[str, Any]:
    """What a file assigns, by name; its docstring is left out.

    Values are constants, lists, tuples and dicts of them (``dict(a=1)`` too), and lists as products or sums such as
    ``[0.7] * 4 + [0.5]``.

    Raises:
        UserError: As `parse`; or anything else is in the file, with its line.
    """
    found: dict[str, Any] = {}
    tree = parse(path)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if marked := SUBSTITUTED.search(line):
            raise UserError(f"{path}, line {number}: {marked[0]} is more than literals, and nothing is substituted")
    try:
        products = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)]
        if len(products) > PRODUCTS:
            raise _Refused(products[PRODUCTS])
        for n, node in enumerate(tree.body):
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = value_of(node.value)
            elif not (n == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                raise _Refused(node)
    except _Refused as refused:
        raise UserError(
            f"{path}, line {refused.line}: {refused.text} is more than literals, and nothing is executed"
        ) from None
    except RecursionError:
        raise UserError(f"{path}: cannot be read: it is nested too deeply") from None
    return found


class _Refused(ValueError):
    """What is no literal."""

    def __init__(self, node: ast.AST) -> None:
        text = " ".join(ast.unparse(node).split())
        super().__init__(text)
        self.line, self.text = getattr(node, "lineno", 0), text if len(text) <= 60 else f"{text[:57]}..."


def value_of(node: ast.expr) -> Any:
    """The value of an expression, see `read_file`.

    Raises:
        ValueError: It is more than that.
    """
    if isinstance(node, ast.Constant):
        if node.value is None or isinstance(node.value, (str, int, float)):
            return node.value
    elif isinstance(node, (ast.List, ast.Tuple)):
        items = [value_of(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    elif isinstance(node, ast.Dict):
        return {_key(key, node): value_of(item) for key, item in zip(node.keys, node.values, strict=True)}
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        if all(keyword.arg for keyword in node.keywords):
            return {str(keyword.arg): value_of(keyword.value) for keyword in node.keywords}
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        number = value_of(node.operand)
        if type(number) in (int, float):
            return -number if isinstance(node.op, ast.USub) else number
    elif isinstance(node, ast.BinOp):
        return _list(node)
    raise _Refused(node)


def _key(node: ast.expr | None, above: ast.Dict) -> Any:
    key = value_of(node) if node is not None else []
    if isinstance(key, (list, dict)):  # also **others
        raise _Refused(above)
    return key


def _list(node: ast.BinOp) -> Any:
    """A list as a product or a sum."""
    left, right = value_of(node.left), value_of(node.right)
    if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
        return left + right
    product = isinstance(node.op, ast.Mult) and isinstance(left, list) and type(right) is int
    if product and _size(left) * right <= MOST:
        return left * right
    raise _Refused(node)


def _size(value: Any) -> int:
    """Values in a value, itself included."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return 1 + sum(map(_size, items))
