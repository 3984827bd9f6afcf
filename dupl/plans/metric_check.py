"""Check the metrics that plans and sweeps ask for before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dupl.config.check import suggestion
from dupl.config.components import find
from dupl.config.kinds import Fault
from dupl.runs.metric_names import metric_names


def check_metric(name: str, values: Mapping[str, Any], protocol: str, path: str, students: int | None = None) -> None:
    """Refuse a metric that an evaluation of a recipe does not write.

    Args:
        name: Of the metric.
        values: The recipe.
        protocol: "train" or "final".
        path: Where the metric is named.
        students: Most students of a run; None where that is unknown, and any number of a student passes.

    Raises:
        Fault: There is no such metric.
    """
    subset = str((values["evaluation"].get("subset") or {}).get("name", ""))
    known = metric_names(
        max(2, students or 0), subset, protocol
    )  # of several: rows with one student have the means too
    parts = name.split("/")
    number = int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 0
    plain = "/".join([parts[0], "1", *parts[2:]]) if number else name
    if plain not in known:
        raise Fault(path, f"is {name!r}, which the protocol {protocol} does not measure{suggestion(name, known)}")
    if students is not None and number > students:
        raise Fault(path, f"is {name!r}, and there {'is 1 student' if students == 1 else f'are {students} students'}")


def most_students(recipes: Iterable[Mapping[str, Any]]) -> int | None:
    """Return the largest number of students among recipes; None where the method or students of one are unknown."""
    counts = [_students(values["model"]) for values in recipes]
    known = [count for count in counts if count]
    return max(known) if known and len(known) == len(counts) else None


def _students(model: Mapping[str, Any]) -> int:
    """Return the number of students of a method; 0 where it is unknown."""
    method = find(str(model.get("type")))
    slot = next((slot for slot in method.slots if slot.name == "students"), None) if method is not None else None
    if slot is None:
        return 0
    component = find(str((model.get("students") or {}).get("type", slot.default or slot.null)))
    return component.students if component is not None else 0
