"""Check what plan and sweep files say, and name the place of a fault."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from dupl.config import overrides
from dupl.config.check import Checker, Schema, suggestion
from dupl.config.describe import describe
from dupl.config.kinds import Fault
from dupl.config.reader import Origins
from dupl.errors import UserError


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge sets of changes into one that does what they do one after the other.

    A path given again is applied where it stands last, and drops what was set at it or below it before.
    """
    merged: dict[str, Any] = {}
    for path, value in itertools.chain.from_iterable(layer.items() for layer in layers):
        merged = {p: v for p, v in merged.items() if p != path and not p.startswith(f"{path}.")}
        merged[path] = value
    return merged


def unknown(path: str, text: str, key: object, known: Iterable[str]) -> Fault:
    """Return the error for an unknown name, with the closest known one.

    Args:
        path: Where the name is given.
        text: What the name is not: "names no factor".
        key: The name.
        known: The known names.
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
    """Return an error of a file with the file and the line that it is about."""
    where = origins.of(error.path) if isinstance(error, Fault) and not error.where else str(origins.file)
    return UserError(f"{where}: {error}")


def change(
    base: overrides.Values, changes: Mapping[str, Any], schema: Schema | None, place: str, about: str = ""
) -> overrides.Values:
    """Return a changed config, or changed plain values, which then share what stays with the base.

    Args:
        base: The config.
        changes: Values by path.
        schema: What it may contain; None leaves that open.
        place: Where in the file the changes are.
        about: How a message begins; with the place by default.

    Raises:
        Fault: They do not fit; the error names their place in the file.
    """
    try:
        if isinstance(base, dict):
            return overrides.apply_to_values(base, changes, schema)
        return overrides.apply(base, changes, schema)
    except Fault as fault:
        culprit = overrides.nearest(fault.path, changes)
        raise Fault(f"{place}.{culprit}", f"{fault.path} {fault.text}", about=about or f"{place}:") from None
    except UserError as error:
        raise Fault(place, str(error), about=about or f"{place}:") from None
