"""A sweep in lines: what it searches, by which goal and means, on which data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dupl.plans.sweep import Sweep


def describe_search(sweep: Sweep) -> list[str]:
    """Return goal, space, constraints, sampler, pruner and the two splits of a sweep, as lines."""
    lines = ["goal", *(f"    {direction} {metric}" for metric, direction in sweep.goal), "space"]
    for p in sweep.space.values():
        moved = "" if p.paths == (p.label,) else f"  ({', '.join(p.paths)})"
        when = "".join(f", only where {k} is {' or '.join(map(str, v))}" for k, v in p.when.items())
        lines.append(f"    {p.label}: {p.told()}{when}{moved}")
    lines += ["constraints", *(f"    {one.text}" for one in sweep.constraints)] if sweep.constraints else []
    lines += [f"{name}: {describe_spec(spec)}" for name, spec in (("sampler", sweep.sampler), ("pruner", sweep.pruner))]
    report = _changes(sweep.report) or ["    data.val as it is"]
    return [*lines, "search split", *_changes(sweep.search), "report split", *report]


def describe_spec(spec: Mapping[str, Any]) -> str:
    """Return a sampler or a pruner with its arguments: "random (seed=0)"."""
    arguments = ", ".join(f"{key}={value}" for key, value in spec.items() if key != "type")
    return f"{spec['type']} ({arguments})" if arguments else str(spec["type"])


def _changes(changes: Mapping[str, Any]) -> list[str]:
    return [f"    {path} = {value!r}" for path, value in changes.items()]
