"""State how the numbers of a column were selected, and offer the column without that selection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dupl.report.tables.counts import FAIR
from dupl.runs.evaluation import BEST_CHECKPOINT

if TYPE_CHECKING:
    from pandas import DataFrame

    from dupl.plans.plan import Column, Plan
    from dupl.report.tables.column import Evidence

SELECTIONS = ("as-planned", "fair")
CODES = ("student", "checkpoint", "threshold", "sweep", "per-class")
KEY = "_fair"  # ends the key of a column without selection
STUDENT = re.compile(r"(?P<kind>cam|seg)/(?P<who>[^/]+)/(?P<figure>[^/]+)")


@dataclass(frozen=True)
class Rule:
    """A choice that was made by looking at the data that a column reports.

    Attributes:
        code: One of `CODES`.
        text: The choice in words, as a footnote states it.
    """

    code: str
    text: str


def fair_plan(plan: Plan) -> Plan:
    """Return a plan with a further column beside each one that takes the better student or the best checkpoint.

    The further column has the last weights, and of the better student's metrics the averaged prediction of a run's
    students, or its only student. It has no number of the paper, which makes the choice. Where the table has such a
    column already, none is added.
    """
    columns: list[Column] = []
    there = {_measures(column) for column in plan.columns}
    for column in plan.columns:
        columns.append(column)
        metric = fair_metric(column.metric) or column.metric
        fair = replace(
            column, key=column.key + KEY, label=f"{column.label or column.key}, fair", metric=metric, report="last"
        )
        if _measures(fair) not in there:
            there.add(_measures(fair))
            columns.append(fair)
    return replace(plan, columns=tuple(columns))


def _measures(column: Column) -> tuple[str, ...]:
    """Return what decides the numbers of a column."""
    return column.metric, column.protocol, column.entry, column.report


def fair_metric(metric: str) -> str | None:
    """Return the metric without the choice of a student; None where a metric makes no such choice."""
    match = STUDENT.fullmatch(metric)
    return f"{match['kind']}/{FAIR}/{match['figure']}" if match and match["who"] == "best" else None


def with_fair(frame: DataFrame) -> DataFrame:
    """Return a frame of metrics with those of `fair_metric` added: of the averaged students, or of the only one."""
    import pandas as pd

    parts = frame["metric"].astype(str).str.extract(STUDENT.pattern)
    evaluation = [frame[name].astype(str) for name in ("run", "protocol", "name", "split", "checkpoint", "iteration")]
    groups = pd.Series(list(zip(*evaluation, parts["kind"], parts["figure"], strict=True)), index=frame.index)
    several = set(groups[parts["who"].isin(["mean", "2"])])
    one = (parts["who"] == "mean") | ((parts["who"] == "1") & ~groups.isin(several))
    one &= frame["checkpoint"].fillna("") != "best"
    added = frame[one].assign(metric=parts["kind"][one] + f"/{FAIR}/" + parts["figure"][one])
    return pd.concat([frame, added], ignore_index=True)


def evaluation_rules(evidence: Evidence, frame: DataFrame) -> list[Rule]:
    """Return the choices that the evaluations of a column made: of a student and of a checkpoint.

    Args:
        evidence: Of the column.
        frame: Metrics of the store, in which the students of each evaluation are looked up.
    """
    if evidence.used.empty:
        return []
    rules = []
    where = evidence.split or "the reported split"
    match = STUDENT.fullmatch(evidence.column.metric)
    if match and match["who"] == "best":
        alone = _with_one_student(frame, match["kind"], match["figure"])
        runs = set(evidence.used["run"])
        if several := runs - alone:
            some = (
                ""
                if len(several) == len(runs)
                else f" ({len(several)} of {len(runs)} runs; the others have one student)"
            )
            rules.append(Rule("student", f"each run's better student on {where}, the reported split{some}"))
    if evidence.column.report == "best":
        reported = ", the reported split" * (where == "val" or where.startswith("val-"))
        text = f"each run's {BEST_CHECKPOINT}{reported}, by the recipe's evaluation.best"
        rules.append(Rule("checkpoint", text))
    elif "checkpoint" in evidence.used:
        best = evidence.used["checkpoint"].fillna("") == "best"
        if count := int(best.sum()):
            text = f"best checkpoint on {where}, by the metric that the recipe names, in {count} of {len(best)} runs"
            rules.append(Rule("checkpoint", text))
    return rules


def _with_one_student(frame: DataFrame, kind: str, figure: str) -> set[str]:
    """Return the runs that are known to have a single student."""
    first, second = (set(frame.loc[frame["metric"] == f"{kind}/{k}/{figure}", "run"]) for k in (1, 2))
    return first - second


def recipe_rules(column: Column, recipes: Iterable[Mapping[str, Any]]) -> list[Rule]:
    """Return the choices that stand in the recipes of a column's runs: thresholds that differ by class.

    Args:
        column: Of the table.
        recipes: Resolved recipes as plain values.
    """
    models = {id(model): model for values in recipes if (model := values.get("model"))}  # seeds share their row's
    paths = sorted({path for model in models.values() for path in per_class_paths(model)})
    if not paths or column.metric.startswith("cls/"):
        return []
    return [Rule("per-class", f"values set by hand for each class: {', '.join(f'model.{path}' for path in paths)}")]


def per_class_paths(model: Any) -> list[str]:
    """Return the paths of a model's values that differ by class, such as "threshold.final"."""
    from dupl.config import components
    from dupl.config.per_class import is_per_class

    found: list[str] = []
    for slot, values in model.items() if isinstance(model, Mapping) else ():
        known = components.find(str(values.get("type"))) if isinstance(values, Mapping) else None
        if known is None:
            continue
        for key, value in values.items():
            given = list(value.values()) if isinstance(value, Mapping) else value
            if is_per_class(known.section, key) and isinstance(given, (list, tuple)) and len(set(given)) > 1:
                found.append(f"{slot}.{key}")
    return found


def threshold_rules(column: Column, split: str, used: Sequence[tuple[float | None, Sequence[float]]]) -> list[Rule]:
    """Return whether the threshold of a column's CAMs is one that a curve on the same split found to be best.

    Args:
        column: Of the table.
        split: That it reports.
        used: For each run its threshold, and the best ones of its curves on this split.
    """
    if not column.metric.startswith("cam/"):
        return []
    chosen = [value for value, best in used if value is not None and any(abs(value - one) < 1e-9 for one in best)]
    if not chosen:
        return []
    values = ", ".join(f"{value:g}" for value in dict.fromkeys(chosen))
    text = f"CAM threshold {values}, the best one of a curve on {split}, in {len(chosen)} of {len(used)} runs"
    return [Rule("threshold", text)]
