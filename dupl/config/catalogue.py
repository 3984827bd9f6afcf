"""Find recipes, plans and sweeps by name, and read them."""

from __future__ import annotations

import ast
import difflib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config import reader
from dupl.config.check import RECIPE, Schema
from dupl.config.kinds import Fault
from dupl.config.reader import Reading
from dupl.config.text import plain, to_text
from dupl.errors import UnknownKeys, UserError

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = [
    "as_config",
    "declared",
    "docstring",
    "load",
    "load_values",
    "names",
    "plain",
    "read",
    "read_values",
    "resolve",
    "to_text",
]

PACKAGE = Path(__file__).parents[1]
KINDS = {"experiments": "recipe", "ablations": "plan", "sweeps": "sweep"}  # folders, and what one file of each is
SHOW = {"experiments": "dupl show", "ablations": "dupl show --plan", "sweeps": "dupl show --sweep"}


def _folders(kind: str) -> Iterator[Path]:
    """Yield the folders that may hold recipes of a kind; the first one that has a name wins."""
    yield Path.cwd() / kind
    if (PACKAGE.parent / "pyproject.toml").is_file():  # a checkout; elsewhere the folder is site-packages
        yield PACKAGE.parent / kind
    yield PACKAGE / "_recipes" / kind


def names(kind: str = "experiments") -> list[str]:
    """Return the recipes that `resolve` finds by name, sorted, without those that begin with "_".

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
    """Find the file of a recipe.

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
    raise UserError(_unknown(str(name), kind))


def _unknown(name: str, kind: str) -> str:
    """Return the message about a name that `resolve` does not find."""
    what = KINDS[kind]
    if name.endswith(".py"):
        return f"no {what} {name}: there is no such file; give its path, or a name that `{SHOW[kind]}` lists"
    for other in KINDS:
        if other != kind and name in names(other):
            return f"no {what} {name}: it is a {KINDS[other]}, which `{SHOW[other]} {name}` shows"
    known = names(kind)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known) or 'none'}"
    return f"no {what} {name} among the {kind} ({hint})"


def _named(name: str) -> Path | None:
    """Find the recipe, plan or sweep that a ``_base_`` names; None where there is none."""
    files = (folder / f"{name}.py" for kind in KINDS for folder in _folders(kind))
    return next((Path(os.path.abspath(file)) for file in files if file.is_file()), None)


def load(recipe: str | Path, schema: Schema | None = RECIPE) -> Config:
    """Read a recipe and what it builds on, and check it against the schema. Nothing in it is executed or imported.

    Args:
        recipe: A name or a path, see `resolve`.
        schema: What the recipe may hold; None leaves that open.

    Raises:
        UserError: The recipe, or a file it builds on, is missing, is no valid Python, holds more than literals, or
            does not fit the schema; the message names file, line, path and the closest valid name.
    """
    return as_config(load_values(recipe, schema), resolve(recipe))


def load_values(recipe: str | Path, schema: Schema | None = RECIPE) -> dict[str, Any]:
    """Read a recipe as `load` does, as a plain dict, without importing mmengine."""
    path = resolve(recipe)
    reading = declared(path)
    if schema is not None:
        schema.check(reading.values, reading.origins.of)
    return reading.values


def read(path: str | Path, schema: Schema | None = RECIPE) -> Config:
    """Read the config of a run. Keys that the schema does not have are named in one warning.

    Raises:
        UserError: The file is missing, is no valid Python, or holds more than literals.
    """
    return as_config(read_values(path, schema), path)


def read_values(
    path: str | Path,
    schema: Schema | None = RECIPE,
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda values: values,
) -> dict[str, Any]:
    """Read the config of a run as `read` does, as a plain dict, without importing mmengine.

    Args:
        path: The file.
        schema: What the config may hold; None leaves that open.
        change: Applied to the values before they are compared with the schema.
    """
    values = change(declared(path).values)
    if schema is not None and (unknown := schema.unknown_keys(values)):
        warnings.warn(f"{path}: unknown to this version: {', '.join(unknown)}", UnknownKeys, stacklevel=1)
    return values


def declared(path: str | Path) -> Reading:
    """Read what a file and its bases say, whatever it is about.

    Raises:
        UserError: As `load`; also for a value that no config can hold, such as an infinity.
    """
    reading = reader.read(path, _named)
    try:
        plain(reading.values)
    except Fault as fault:
        raise fault.at(reading.origins.of(fault.path)) from None
    return reading


def as_config(values: dict[str, Any], path: str | Path | None = None) -> Config:
    """Turn a plain dict into mmengine's Config.

    Args:
        values: The dict.
        path: The file that it was read from.

    Raises:
        UserError: mmengine keeps one of its keys for itself.
    """
    from mmengine.config import Config

    try:
        return Config(values, filename=None if path is None else str(path))
    except KeyError as error:
        raise UserError(f"{path or 'the config'}: {error.args[0]}") from None


def docstring(recipe: str | Path, kind: str = "experiments") -> str:
    """Return the docstring of a recipe; empty where it has none."""
    return ast.get_docstring(reader.parse(resolve(recipe, kind))[0]) or ""
