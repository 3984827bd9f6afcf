"""Finds, reads and writes recipes: mmengine config files in Python, made of literals only.

A recipe is a program, and `load` executes it. Within `literals_only`, and for the config of a run always, it is read
instead: nothing in it is executed or imported (`dupl.config.literals`).
"""

from __future__ import annotations

import ast
import difflib
import keyword
import math
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config.literals import parse, read_file
from dupl.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

PACKAGE = Path(__file__).parents[1]  # dupl/
WIDTH = 110  # columns of the text that `to_text` writes
_LITERALS: ContextVar[bool] = ContextVar("_LITERALS", default=False)


def _folders(kind: str) -> Iterator[Path]:
    """The folders that may hold recipes of a kind, the first one winning."""
    yield Path.cwd() / kind
    if (PACKAGE.parent / "pyproject.toml").is_file():  # a checkout; elsewhere the folder is site-packages
        yield PACKAGE.parent / kind
    yield PACKAGE / "_recipes" / kind


def names(kind: str = "experiments") -> list[str]:
    """Lists the recipes that `resolve` finds by name, sorted; parts that start with "_" are left out.

    Args:
        kind: Which folder of recipes: experiments, ablations or sweeps.
    """
    found = set()
    for folder in _folders(kind):
        for path in folder.rglob("*.py"):
            name = path.relative_to(folder).with_suffix("")
            if not any(part.startswith("_") for part in name.parts):
                found.add(name.as_posix())
    return sorted(found)


def resolve(name: str | Path, kind: str = "experiments") -> Path:
    """Finds the file of a recipe.

    Args:
        name: A name such as "voc/dupl" or the path of a file, with or without ".py". A path wins; then the
            folder `kind` of the current folder, of the checkout, and of the installed package.
        kind: Which folder of recipes: experiments, ablations or sweeps.

    Raises:
        UserError: There is no such recipe; the message names the closest ones.
    """
    file = Path(f"{name}" if str(name).endswith(".py") else f"{name}.py").expanduser()
    for path in (file, *(folder / file for folder in _folders(kind))):
        if path.is_file():
            return Path(os.path.abspath(path))
    known = names(kind)
    close = difflib.get_close_matches(str(name).removesuffix(".py"), known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known) or 'none'}"
    raise UserError(f"no recipe {name} among the {kind} ({hint})")


@contextmanager
def literals_only() -> Iterator[None]:
    """Lets `load` execute and import nothing meanwhile."""
    token = _LITERALS.set(True)
    try:
        yield
    finally:
        _LITERALS.reset(token)


def load(recipe: str | Path, kind: str = "experiments") -> Config:
    """Reads a recipe and what it builds on by executing them, and imports the modules of its `custom_imports`.

    Raises:
        UserError: The recipe, or a file it builds on, is missing, is no valid Python, fails, or holds
            anything but literals; the message names the file.
    """
    from mmengine.config import Config

    path = resolve(recipe, kind)
    if _LITERALS.get():
        return read(path)
    sources = _sources(path)
    try:
        raw = Config.fromfile(path, lazy_import=False)
        values = plain(raw)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # a recipe is a program: it may fail in any way
        lines = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) in sources]
        where = f"{lines[-1].filename}, line {lines[-1].lineno}" if lines else path
        what = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        raise UserError(f"{where}: {type(error).__name__}: {' '.join(what.split())}") from error
    return Config(values, cfg_text=raw.text, filename=str(path))


def read(path: str | Path, imports: bool = False) -> Config:
    """Reads the config of a run, or a recipe, as literals: nothing in it is executed.

    Args:
        path: The file.
        imports: Whether to import the modules of its `custom_imports`, which must be installed or on PYTHONPATH.

    Raises:
        UserError: As `load`; also where a value is anything but a literal, with the line.
    """
    from mmengine.config import Config

    path = Path(os.path.abspath(path))
    if not path.is_file():
        raise UserError(f"no file {path}")
    _sources(path)
    config = Config(_read(path), filename=str(path))
    if imports and config.get("custom_imports"):
        from mmengine.utils import import_modules_from_strings

        try:
            import_modules_from_strings(**config.custom_imports)
        except Exception as error:  # a module is a program: it may fail in any way
            raise UserError(
                f"{path}: custom_imports: {type(error).__name__}: {' '.join(str(error).split())}"
            ) from error
    return config


def _read(path: Path) -> dict[str, Any]:
    """A recipe as literals, merged into what it builds on as mmengine does it."""
    from mmengine.config import Config

    values: dict[str, Any] = {}
    for base in _bases(path):
        below = _read(Path(os.path.abspath(path.parent / base)))
        if twice := sorted(values.keys() & below.keys()):
            raise UserError(f"{path}: two of its _base_ have {twice[0]}")
        values |= below
    own = {name: value for name, value in read_file(path).items() if name != "_base_" and not name.startswith("__")}
    try:
        merged = Config(values)
        merged.merge_from_dict(own, allow_list_keys=False)
        result: dict[str, Any] = plain(merged)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (TypeError, KeyError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from None
    return result


def _sources(path: Path, above: tuple[Path, ...] = ()) -> list[Path]:
    """The files that a recipe is made of, itself first, each proven to be there and to be Python."""
    if path in above:
        raise UserError(f"{above[-1]}: its _base_ leads back to {path}")
    if not path.is_file():
        raise UserError(f"{above[-1]}: its _base_ {path} does not exist")
    files = [path]
    for base in _bases(path):
        files += _sources(Path(os.path.abspath(path.parent / base)), (*above, path))
    return files


def _bases(path: Path) -> list[str]:
    """What a recipe's `_base_` names: a string or a list of them."""
    for node in parse(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_base_":
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                value = None
            bases = [value] if isinstance(value, str) else value
            if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
                raise UserError(f"{path}, line {node.lineno}: _base_ must be a path or a list of paths")
            return bases
    return []


def docstring(recipe: str | Path, kind: str = "experiments") -> str:
    """What a recipe says of itself; the recipe is not executed. Empty where it says nothing."""
    return ast.get_docstring(parse(resolve(recipe, kind))) or ""


def plain(value: Any, path: str = "") -> Any:
    """Copies a config, or a part of one, into plain dicts, lists, tuples and scalars.

    mmengine's `_delete_` marks, which have done their work by then, are left out.

    Args:
        value: An mmengine Config, or anything that stands in one.
        path: Where it stands, for the message.

    Raises:
        UserError: Something is no literal: only dicts with string keys, lists, tuples, strings, finite
            numbers, booleans and None are.
    """
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        if bad := [key for key in value if not isinstance(key, str)]:
            raise UserError(f"{path or 'config'} has the key {bad[0]!r}; keys must be strings")
        return {k: plain(v, f"{path}.{k}" if path else k) for k, v in value.items() if k != "_delete_"}
    if type(value) in (list, tuple):
        return type(value)(plain(item, f"{path}.{i}") for i, item in enumerate(value))
    if value is None or type(value) in (str, bool, int) or (type(value) is float and math.isfinite(value)):
        return value
    raise UserError(f"{path} is {value!r}; a config holds only dicts, lists, strings, finite numbers and None")


def to_text(config: Config | dict[str, Any]) -> str:
    """Writes a resolved config as Python; a file of this text loads as an equal config.

    Raises:
        UserError: Something in the config is no literal.
    """
    return "".join(f"{name} = {_text(value, 0, len(name) + 3)}\n" for name, value in plain(config).items())


def _text(value: Any, indent: int, used: int) -> str:
    """One value as Python, on one line if it fits beside the `used` columns, else one item a line."""
    if not isinstance(value, (dict, list, tuple)):
        return repr(value).replace("{{", "{\\x7b")  # mmengine substitutes what stands in double braces
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


def at_least(least: int, part: Mapping[str, Any], where: str, name: str) -> None:
    """Know that a count of a recipe, where it is given, is a whole number that means something.

    Raises:
        UserError: It is none, or below the least.
    """
    value = part.get(name)
    if value is not None and (type(value) is not int or value < least):
        raise UserError(f"{where}.{name} is {value!r}: give a whole number, at least {least}")
