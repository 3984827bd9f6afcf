"""Leave the paper's numbers out of a plan whose runs are on other data than its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dupl.config import catalogue, overrides
from dupl.plans.plan import Plan

PLACE = ("root",)  # says where the data lie, not which they are


def comparable(plan: Plan, sets: Mapping[str, Any]) -> Plan:
    """Return the plan, without the paper's numbers where a call's overrides name other data.

    Data count as other if their settings differ in more than the folder that holds them.

    Args:
        plan: With the rows to show.
        sets: Values by path with which its runs were trained.
    """
    if not any(row.paper for row in plan.rows):
        return plan
    base = overrides.apply(catalogue.load(plan.base, plan.schema), plan.set, plan.schema)
    own, now = (catalogue.plain(config)["data"] for config in (base, overrides.apply(base, dict(sets), plan.schema)))
    changed = [f"data.{part}" for part in ("train", "val") if _what(own.get(part)) != _what(now.get(part))]
    if not changed:
        return plan
    note = f"the paper's numbers are left out: {' and '.join(changed)} differ from those of {plan.base}"
    rows = tuple(replace(row, paper={}) for row in plan.rows)
    return replace(plan, rows=rows, reference="; ".join(filter(None, [plan.reference, note])))


def _what(part: Any) -> Any:
    return {key: value for key, value in part.items() if key not in PLACE} if isinstance(part, Mapping) else part
