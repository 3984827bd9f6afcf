"""Read recipes, plans and sweeps: Python files of literals, with what they build on. Nothing in them is executed.

The rules of ``_base_`` and ``_delete_`` are mmengine's: a file names the files that it builds on, by path or by the
name of a recipe; they may not share a key. Its own values are merged into theirs, dict by dict; a dict with
``_delete_=True`` replaces what was there. A name that begins with ``_`` is a helper of its file and no part of the
config.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dupl.config.expression import BASE, Evaluator, Refused, entries
from dupl.errors import UserError

DELETE = "_delete_"


@dataclass(frozen=True)
class Origins:
    """Where the values of a config were written.

    Attributes:
        file: The file that was read.
        lines: File and line by dotted path.
    """

    file: Path
    lines: dict[str, tuple[Path, int]] = field(default_factory=dict)

    def of(self, path: str) -> str:
        """Return "FILE, line N" of a path, or of the nearest part of it that is written anywhere."""
        while path:
            if path in self.lines:
                return "{}, line {}".format(*self.lines[path])
            path = path.rpartition(".")[0]
        return str(self.file)


@dataclass(frozen=True)
class Reading:
    """What a file and its bases say.

    Attributes:
        values: The merged values.
        origins: Where each was written.
    """

    values: dict[str, Any]
    origins: Origins


def parse(path: Path) -> tuple[ast.Module, str]:
    """Return the syntax tree and the text of a file.

    Raises:
        UserError: It cannot be read, or is no Python.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # an editor may have begun it with a byte order mark
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise UserError(f"{path}, line {line}: it holds a NUL byte: save the file as UTF-8 text")
        return ast.parse(text), text
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: cannot be read: {error or 'it is nested too deeply'}") from None


Lookup = Callable[[str], "Path | None"]


def _no_names(name: str) -> Path | None:
    return None


def read(path: str | os.PathLike[str], named: Lookup = _no_names) -> Reading:
    """Read a file and what it builds on.

    Args:
        path: Of the file.
        named: Finds the file of a ``_base_`` that is a name such as "voc/dupl"; None where there is none. A file beside
            the one that names it wins.

    Raises:
        UserError: A file is missing or no valid Python, holds more than literals, or does not fit its bases. The
            message names the file and the line.
    """
    return _read(Path(os.path.abspath(path)), (), named)


def _read(path: Path, above: tuple[Path, ...], named: Lookup) -> Reading:
    if not path.is_file():
        raise UserError(f"no file {path}")
    tree, text = parse(path)
    try:
        below = _bases(tree, path, above, named)
        own, lines = _own(tree, text, below.values)
    except Refused as refused:
        raise UserError(f"{path}, line {refused.line}: {refused}") from None
    except RecursionError:
        raise UserError(f"{path}: cannot be read: it is nested too deeply") from None
    origins = Origins(path, {key: (path, line) for key, line in lines.items()})
    replaced: list[str] = []
    values = _merge(below.values, own, "", origins, replaced)
    kept = {key: place for key, place in below.origins.lines.items() if not _within(key, replaced)}
    return Reading(values, Origins(path, kept | origins.lines))


def _bases(tree: ast.Module, path: Path, above: tuple[Path, ...], named: Lookup) -> Reading:
    """Read what a file's ``_base_`` names."""
    values: dict[str, Any] = {}
    lines: dict[str, tuple[Path, int]] = {}
    for base, line in _named(tree):
        where, file = f"{path}, line {line}", Path(os.path.abspath(path.parent / base))
        if not file.is_file() and not base.endswith(".py"):
            file = named(base) or file
        if file in (*above, path):
            raise UserError(f"{where}: its _base_ leads back to {file}")
        if not file.is_file():
            raise UserError(f"{where}: its _base_ {file} does not exist; give a path, or a name that dupl show lists")
        one = _read(file, (*above, path), named)
        if twice := sorted(values.keys() & one.values.keys()):
            raise UserError(f"{where}: two of its _base_ have {twice[0]}, the second is {file}")
        values |= one.values
        lines |= one.origins.lines
    return Reading(values, Origins(path, lines))


def _named(tree: ast.Module) -> list[tuple[str, int]]:
    """Return the paths in ``_base_``, each with its line."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == BASE:
            items = node.value.elts if isinstance(node.value, (ast.List, ast.Tuple)) else [node.value]
            bases = [(item.value, item.lineno) for item in items if isinstance(item, ast.Constant)]
            if len(bases) < len(items) or not all(isinstance(base, str) for base, _ in bases):
                raise Refused(node, "is no _base_: write a path or a list of paths")
            return [(str(base), line) for base, line in bases]
    return []


def _own(tree: ast.Module, text: str, base: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Evaluate the assignments of a file; return the values by name and the lines by path."""
    names: dict[str, Any] = {}
    written: dict[str, ast.expr] = {}
    evaluator = Evaluator(names, base, text)
    for n, node in enumerate(tree.body):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if name in written:
                    raise Refused(node, f"assigns {name} again, first on line {written[name].lineno}")
                written[name] = value
                if name != BASE:
                    names[name] = evaluator.value(value)
            case ast.Expr(value=ast.Constant(value=str())) if n == 0:
                pass
            case _:
                raise Refused(node)
    own = {name: value for name, value in names.items() if not name.startswith("_")}
    lines = {path: line for name in own for path, line in _lines(name, written[name], written)}
    return own, lines


def _lines(path: str, node: ast.expr, written: dict[str, ast.expr]) -> Iterator[tuple[str, int]]:
    """Return the line of every value below a path."""
    yield path, node.lineno
    if isinstance(node, ast.Name) and node.id in written:
        node = written[node.id]
    if isinstance(node, (ast.Dict, ast.Call)):
        for key, item in entries(node):
            yield from _lines(f"{path}.{key}", item, written)
    elif isinstance(node, (ast.List, ast.Tuple)):
        for i, item in enumerate(node.elts):
            yield from _lines(f"{path}.{i}", item, written)


def _merge(base: dict[str, Any], own: dict[str, Any], above: str, origins: Origins, replaced: list[str]) -> Any:
    """Merge a file's values into those of its bases; note the paths whose old values are gone."""
    merged = dict(base)
    for key, value in own.items():
        path = f"{above}.{key}" if above else key
        if not isinstance(value, dict) or key not in base or value.get(DELETE):
            replaced.append(path)
            merged[key] = _without_marks(value)
        elif isinstance(base[key], dict):
            merged[key] = _merge(base[key], {k: v for k, v in value.items() if k != DELETE}, path, origins, replaced)
        else:
            raise UserError(
                f"{origins.of(path)}: {path} is a dict here, and {base[key]!r} in a _base_; "
                f"add {DELETE}=True to replace it"
            )
    return merged


def _without_marks(value: Any) -> Any:
    """Copy a value without the ``_delete_`` marks in it."""
    if isinstance(value, dict):
        return {key: _without_marks(item) for key, item in value.items() if key != DELETE}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_marks(item) for item in value)
    return value


def _within(path: str, replaced: list[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in replaced)
