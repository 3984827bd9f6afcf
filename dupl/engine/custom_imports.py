"""Import the modules that a recipe names in ``custom_imports``.

Which modules a recipe may reach depends on where it comes from. A recipe that the user named may have its modules
beside it. A run or a store may come from elsewhere: its modules are looked for among what is installed and on
PYTHONPATH only, never in a folder that came with it, also where that is the current folder.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config

from dupl.checksum import files_digest
from dupl.config import catalogue
from dupl.config.check import RECIPE
from dupl.config.text import plain
from dupl.errors import Notice, UserError
from dupl.runs.layout import is_of_store


def import_custom(config: Config) -> None:
    """Import the modules that a recipe names in ``custom_imports``, and check the arguments of their classes.

    Raises:
        UserError: A module cannot be imported, or one of its classes does not accept its arguments.
    """
    if not (custom := config.get("custom_imports")):
        return
    values = plain(config)
    before = {str(fault) for fault in RECIPE.faults(values)}
    beside = _folder_beside(config.filename)
    with _search_path(beside):
        for name in custom["imports"]:
            _import(name, config.filename, beside, custom.get("allow_failed_imports", False))
    for fault in RECIPE.faults(values, imported=True):
        if str(fault) not in before:
            raise fault.at(catalogue.declared(config.filename).origins.of(fault.path) if config.filename else "")


def modules_digest(config: Config) -> str | None:
    """Return a digest of the files of the modules that a recipe imports, of packages all; None where it imports none.

    Args:
        config: A recipe whose modules ``import_custom`` has imported.
    """
    files: dict[str, Path] = {}
    for name in (config.get("custom_imports") or {}).get("imports", []):
        spec = getattr(sys.modules.get(name), "__spec__", None)
        folders = [Path(place) for place in (spec.submodule_search_locations or [])] if spec is not None else []
        for folder in folders:
            files |= {f"{name}/{file.relative_to(folder).as_posix()}": file for file in folder.rglob("*.py")}
        if spec is not None and spec.origin and not folders:
            files[name] = Path(spec.origin)
    return files_digest(files) if files else None


def _folder_beside(filename: str | None) -> Path | None:
    """Return the folder of a recipe that the user named; None for what lies in a run or a store."""
    if not filename or is_of_store(Path(filename)):
        return None
    return Path(filename).absolute().parent


@contextmanager
def _search_path(beside: Path | None) -> Iterator[None]:
    """Look for modules without the current folder, unless PYTHONPATH names it, and last in the folder of the recipe."""
    before = list(sys.path)
    asked = {os.path.abspath(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one}
    here = os.getcwd()
    found = [one for one in before if os.path.abspath(one or here) != here or here in asked]
    sys.path[:] = found + ([str(beside)] if beside is not None else [])
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before + ([str(beside)] if beside is not None and str(beside) not in before else [])


def _import(name: str, filename: str | None, beside: Path | None, may_fail: bool) -> None:
    known = name in sys.modules
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a module is a program: it may fail in any way
        if may_fail and isinstance(error, ImportError):
            warnings.warn(f"{filename}: custom_imports: {name} is not imported: {error}", Notice, stacklevel=1)
            return
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        advice = "" if beside is not None else "; a run's modules must be installed or on PYTHONPATH"
        missing = isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]
        raise UserError(f"{filename}: custom_imports: {text}{advice if missing else ''}") from error
    if not known and beside is not None and _lies_in(module.__spec__, beside):
        warnings.warn(f"{filename}: imports {name} from the recipe's folder: {module.__file__}", Notice, stacklevel=1)


def _lies_in(spec: importlib.machinery.ModuleSpec | None, folder: Path) -> bool:
    places: Sequence[str] = [] if spec is None else [spec.origin or "", *(spec.submodule_search_locations or [])]
    return any(place and Path(place).absolute().is_relative_to(folder) for place in places)
