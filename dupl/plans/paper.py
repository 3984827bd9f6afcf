"""Leave the paper's numbers out of a plan whose runs are on other data than its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from dupl.config import catalogue, overrides
from dupl.plans.plan import Plan

PLACE = ("root",)  # says where the data lie, not which they are
SIZES = {  # images of the data sets of the papers, by type and split
    ("VOC", "train_aug"): 10_582,
    ("VOC", "val"): 1_449,
    ("COCO", "train"): 82_081,
    ("COCO", "val"): 40_137,
}


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
    return _without_paper(plan, f"{' and '.join(changed)} differ from those of {plan.base}")


def of_papers_size(plan: Plan, data: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> Plan:
    """Return the plan, without the paper's numbers where its runs read another number of images than the paper's.

    The settings of a data set do not tell: a folder of the same layout may hold other images. The plan is kept as it is
    where the size of the paper's data set, or that of the runs, is not known.

    Args:
        plan: With the rows to show.
        data: Entries of the data sets that the runs name, by split.
        records: What runs recorded of the data that they read, by split, see `dupl.data.reads.read_record`.
    """
    if not any(row.paper for row in plan.rows):
        return plan
    found, records = [], list(records)
    for part in ("train", "val"):
        known = [record[part] for record in records if isinstance(record.get(part), Mapping)]
        counts = sorted({one["images"] for one in known if isinstance(one.get("images"), int)})
        size = _size(data.get(part))
        if size is not None and counts and counts != [size]:
            found.append(f"data.{part} has {' or '.join(map(str, counts))} images, not {size}")
    return _without_paper(plan, ", ".join(found)) if found else plan


def _size(entry: Any) -> int | None:
    """Return the number of images that a data set has in the papers; None where it is not one of theirs."""
    if not isinstance(entry, Mapping) or (entry.get("type") == "COCO" and entry.get("empty", True)):
        return None
    size, part = SIZES.get((str(entry.get("type")), str(entry.get("split")))), entry.get("part")
    return size if part is None or size is None else min(size, part) if isinstance(part, int) else None


def _without_paper(plan: Plan, why: str) -> Plan:
    note = f"the paper's numbers are left out: {why}"
    rows = tuple(replace(row, paper={}) for row in plan.rows)
    return replace(plan, rows=rows, reference="; ".join(filter(None, [plan.reference, note])))


def _what(part: Any) -> Any:
    return {key: value for key, value in part.items() if key not in PLACE} if isinstance(part, Mapping) else part
