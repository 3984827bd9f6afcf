"""The plan of an archive as JSON: what the table needs of a plan and of its runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dupl.errors import UserError
from dupl.plans.plan import Column, Plan, Row
from dupl.report.tables.intervals import DEFAULT, LABELS
from dupl.runs.files import jsonable

PLAN = "plan.json"


@dataclass(frozen=True)
class ArchivedRun:
    """A run of the plan.

    Attributes:
        row: Key of the row.
        seed: Of the run.
        fingerprint: Of the run.
        changes: What the row says of the config, values by path.
        error: Why the run never began; None where it did, or nothing is known.
    """

    row: str
    seed: int
    fingerprint: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class ArchivedPlan:
    """What an archive is the evidence of.

    Attributes:
        plan: Its rows and columns.
        runs: One for each row and seed.
        source: "plan", "sweep" or "runs".
        command: That wrote the archive.
        options: Arguments by which the table is made.
        trials: Of a sweep: number, state, parameters, values and run of each.
        selected: Choices behind a column that its metrics do not show, by its key: code and text of each.
        earlier: Runs whose id an earlier version made by another rule.
    """

    plan: Plan
    runs: Sequence[ArchivedRun]
    source: str = "plan"
    command: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    trials: Sequence[Mapping[str, Any]] = ()
    selected: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    earlier: Sequence[str] = ()

    def text(self) -> str:
        """Return the plan as JSON."""
        plan = {key: value for key, value in vars(self.plan).items() if key in PLAIN}
        plan |= {"columns": [asdict(one) for one in self.plan.columns], "rows": [asdict(one) for one in self.plan.rows]}
        facts = {key: value for key, value in vars(self).items() if key not in ("plan", "runs")}
        runs = [asdict(one) for one in self.runs]
        return json.dumps(jsonable({"plan": plan, "runs": runs, **facts}), indent=1, ensure_ascii=False) + "\n"


PLAIN = ("name", "title", "doc", "base", "kind", "compare", "heading", "reference", "seeds", "set", "factors", "ratio")


def read_plan(folder: Path) -> ArchivedPlan:
    """Read the plan of an unpacked archive.

    Raises:
        UserError: It is missing or corrupt.
    """
    try:
        values = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        plan = dict(values["plan"])
        if set(plan) != {*PLAIN, "columns", "rows"}:
            raise ValueError("its keys are not those of a plan")
        columns = tuple(Column(**one) for one in plan.pop("columns"))
        rows = tuple(Row(**{**one, "has": tuple(one["has"])}) for one in plan.pop("rows"))
        _check(plan, columns, rows)
        made = Plan(**{**plan, "seeds": tuple(plan["seeds"])}, columns=columns, rows=rows, schema=None)
        runs = tuple(ArchivedRun(**one) for one in values["runs"])
        keys = {row.key for row in rows}
        if any(run.row not in keys or type(run.seed) is not int or not _is_text(run.fingerprint) for run in runs):
            raise ValueError("a run is of no row")
        if (interval := values["options"].get("interval", DEFAULT)) not in LABELS:
            raise ValueError(f"there is no interval {interval!r}")
        rest = {key: values[key] for key in ("source", "command", "options", "trials", "selected", "earlier")}
        return ArchivedPlan(made, runs, **rest)
    except OSError:
        raise UserError(f"the archive has no {PLAN}") from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise UserError(f"{PLAN} is corrupt: {' '.join(str(error).split())[:120]}") from None


def _check(plan: Mapping[str, Any], columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Check the types that the table relies on.

    Raises:
        ValueError: A value is of another type, or a key occurs twice.
    """
    texts = [*(plan[key] for key in PLAIN[:8]), *(word for one in columns for word in vars(one).values())]
    texts += [word for row in rows for word in (row.key, row.label, row.note, row.masks, *row.has)]
    if not all(map(_is_text, texts)):
        raise ValueError("a text is none")
    if any(one.report not in ("last", "best") for one in columns):
        raise ValueError("a column reports neither the last nor the best checkpoint")
    for keys in ([one.key for one in columns], [one.key for one in rows]):
        if len(set(keys)) != len(keys) or not keys:
            raise ValueError("its rows or columns are not each of another key")
    if any(type(value) not in (int, float) for row in rows for value in row.paper.values()):
        raise ValueError("a number of the paper is none")


def _is_text(value: object) -> bool:
    return isinstance(value, str)
