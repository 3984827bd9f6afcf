"""Check the metrics that plans and sweeps ask for before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dupl.config.check import suggestion
from dupl.config.kinds import Fault
from dupl.runs.metric_names import metric_names


def check_metric(name: str, values: Mapping[str, Any], protocol: str, path: str) -> None:
    """Refuse a metric that an evaluation of a recipe does not write.

    Args:
        name: Of the metric; any number of a student passes, because rows may have one or two.
        values: The recipe.
        protocol: "train" or "final".
        path: Where the metric is named.

    Raises:
        Fault: There is no such metric.
    """
    subset = str((values["evaluation"].get("subset") or {}).get("name", ""))
    known = metric_names(2, subset, protocol)
    parts = name.split("/")
    plain = "/".join([parts[0], "1", *parts[2:]]) if len(parts) > 1 and parts[1].isdigit() else name
    if plain not in known:
        raise Fault(path, f"is {name!r}, which the protocol {protocol} does not measure{suggestion(name, known)}")
