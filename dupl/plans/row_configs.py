"""The resolved recipes of a plan's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from dupl.config import overrides
from dupl.config.check import Schema
from dupl.config.fingerprint import Texts, config_id, files_of
from dupl.config.kinds import Fault
from dupl.config.overrides import ABSENT
from dupl.plans.checks import change, merge
from dupl.plans.rows import Row

SEED = "runtime.seed"


def configure(
    kind: str, row: Row, every: Mapping[str, Any], base: dict[str, Any], schema: Schema | None
) -> dict[str, Any]:
    """Apply the changes of all rows and those of one row to a base.

    Args:
        kind: Where the rows of the plan come from.
        row: The row.
        every: Changes of all rows.
        base: The values of the resolved recipe.
        schema: What it may contain; None leaves that open.

    Raises:
        Fault: The changes do not fit the base, or set the seed.
    """
    place, about = "vary" if kind == "vary" else f"rows.{row.key}.set", f"row {row.key}:"
    changes = merge(every, without_seed(row.overrides, place, f"{about} set:"))
    return change(base, changes, schema, place, about)


def differences(base: dict[str, Any], values: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return old and new value by path, without the arguments that went with a component whose type was swapped."""
    found = overrides.diff_values(base, values)
    swapped = tuple(path.removesuffix("type") for path in found if path.endswith(".type"))
    return {path: (old, new) for path, (old, new) in found.items() if new is not ABSENT or not path.startswith(swapped)}


def refuse_twins(rows: Sequence[Row], values: Mapping[str, dict[str, Any]], texts: Texts) -> None:
    """Check that two rows are the same run if, and only if, one of them says so.

    Args:
        rows: Of a plan.
        values: Of the resolved recipe of each row, by its key.
        texts: Receives the texts of their sections, see `dupl.config.fingerprint.config_id`.

    Raises:
        Fault: Two rows are the same run by mistake, or are not although one of them says so.
    """
    prints = {row.key: f"{config_id(values[row.key], texts)} {files_of(values[row.key])}" for row in rows}
    same, alike = defaultdict[str, list[Row]](list), defaultdict[str, list[Row]](list)  # rows before, by id and by name
    for row in rows:
        for other in same[prints[row.key]]:
            if not _alike(row, other):
                text = f"and {row.key} are the same run: remove one, or say alike={other.key!r}"
                raise Fault(f"rows.{row.key}", text, about=f"rows {other.key}")
        names = [row.key, row.alike] if row.alike else [row.key]
        for other in (one for name in names for one in alike[name]):
            if prints[other.key] != prints[row.key]:
                paths = ", ".join(overrides.diff_values(values[other.key], values[row.key]))
                text = f"and {row.key} are not alike: they differ in {paths}"
                raise Fault(f"rows.{row.key}", text, about=f"rows {other.key}")
        same[prints[row.key]].append(row)
        for name in names:
            alike[name].append(row)


def _alike(row: Row, other: Row) -> bool:
    """Return whether one of two rows says that it is the other, or both that they are a third."""
    return other.key == row.alike or row.key == other.alike or (row.alike != "" and row.alike == other.alike)


def check_seeds(seeds: Sequence[Any]) -> tuple[int, ...]:
    """Return seeds, if they are whole numbers from 0 on, each given once.

    Raises:
        Fault: They are not.
    """
    if not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise Fault("seeds", f"is {list(seeds)}: write whole numbers from 0 on, each once")
    return tuple(seeds)


def without_seed(changes: Mapping[str, Any], place: str, about: str = "") -> Mapping[str, Any]:
    """Return changes, if they leave the seed to the plan.

    Args:
        changes: Values by path.
        place: Where they stand in the file.
        about: How a message begins; with the place by default.

    Raises:
        Fault: They set the seed.
    """
    if any(path in (SEED, SEED.partition(".")[0]) for path in changes):
        raise Fault(place, f"{SEED} is set by the plan's seeds, or --seeds", about=about or f"{place}:")
    return changes
