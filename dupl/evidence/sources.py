"""What an archive can be made of: the table of a plan, the trials of a sweep, or a list of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dupl.config.fingerprint import config_id
from dupl.config.overrides import ABSENT
from dupl.errors import UserError
from dupl.evidence.planned import ArchivedPlan, ArchivedRun
from dupl.plans.plan import Column, Plan, PlannedRun, Row
from dupl.report.tables.column import Evidence
from dupl.report.tables.counts import Metric
from dupl.report.tables.row_run import RowRun
from dupl.report.tables.selection_audit import Audit
from dupl.runs import failures
from dupl.runs.config import read_config_values
from dupl.runs.ids import VERSION
from dupl.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from dupl.plans.sweep import Sweep
    from dupl.runs.store import RunStore

MOST = 60  # letters of a label


def of_plan(
    plan: Plan,
    planned: Sequence[PlannedRun],
    runs: Mapping[str, StoredRun],
    store: RunStore,
    stored: Sequence[StoredRun],
    command: str,
) -> ArchivedPlan:
    """Return what an archive keeps of a plan.

    Args:
        plan: As its table shows it.
        planned: One run for each row and seed.
        runs: Those that the store holds, by id.
        store: Which.
        stored: All of its runs.
        command: That writes the archive.
    """
    made = [
        ArchivedRun(run.row, run.seed, run.fingerprint, _new(run), failures.noted(store.root, run.fingerprint))
        for run in planned
    ]
    rows = [RowRun.of(run, runs.get(run.fingerprint)) for run in planned]
    audit, frame = Audit(planned, runs, stored, store), store.frame(runs.values())
    rules = {one.key: audit.rules(Evidence.of(one, rows, frame)) for one in plan.columns}
    selected = {key: [(rule.code, rule.text) for rule in found] for key, found in rules.items()}
    return ArchivedPlan(plan, made, "plan", command, selected=selected, earlier=_earlier(runs.values()))


def of_runs(runs: Sequence[StoredRun], name: str, command: str, trials: Sequence[Any] = ()) -> ArchivedPlan:
    """Return what an archive keeps of a list of runs: a row for each config, a column for each metric of counts.

    Args:
        runs: Which.
        name: Of the table.
        command: That writes the archive.
        trials: Of the sweep that the runs are of, see `ArchivedPlan`.

    Raises:
        UserError: They have no evaluation with a metric that follows from counts.
    """
    rows, made = dict[str, Row](), list[ArchivedRun]()
    subsets = dict[str, Sequence[str]]()
    for run in runs:
        values = read_config_values(run.path)
        seed = values["runtime"]["seed"]
        key = config_id({**values, "runtime": {k: v for k, v in values["runtime"].items() if k != "seed"}})
        rows.setdefault(key, Row(key, _label(run, trials)))
        made.append(ArchivedRun(key, seed, run.fingerprint))
        subset = values.get("evaluation", {}).get("subset") or {}
        if subset.get("name"):
            subsets[subset["name"]] = subset["classes"]
    columns = _columns(runs, subsets)
    if not columns:
        raise UserError(f"{name}: no run has an evaluation with counts per image; dupl eval RUN makes one")
    seeds = tuple(sorted({run.seed for run in made}))
    title = f"Trials of the sweep {name}" if trials else f"Runs: {name}"
    plan = Plan(name, title, "", "", seeds, {}, {}, columns, tuple(rows.values()), "rows", "", schema=None)
    return ArchivedPlan(plan, made, "sweep" if trials else "runs", command, {}, list(trials), {}, _earlier(runs))


def trial_facts(sweep: Sweep, trials: Iterable[Any]) -> list[dict[str, Any]]:
    """Return number, state, run and values of the trials of a study, their parameters and what these set in a config.

    Args:
        sweep: Of the study.
        trials: As Optuna has them.
    """
    from dupl.report.sweep.trials import fingerprint_of, state_of

    metrics = [metric for metric, _ in sweep.goal]
    return [
        {"number": one.number, "state": state_of(one), "params": one.params, "set": sweep.changes(one.params)}
        | {"metrics": metrics, "values": one.values}
        | {"run": fingerprint_of(one), "iteration": one.user_attrs.get("iteration")}
        for one in trials
    ]


def _new(run: PlannedRun) -> dict[str, list[Any]]:
    """Return the values of a row by path, each as a list; an empty list for one that the row removes."""
    return {path: [] if new is ABSENT else [new] for path, (_, new) in run.changes.items()}


def _earlier(runs: Iterable[StoredRun]) -> list[str]:
    return [run.fingerprint for run in runs if run.status.id_version < VERSION]


def _label(run: StoredRun, trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the label of a run's row: its recipe and id, or the parameters of its trial."""
    for one in trials:
        if one["run"] == run.fingerprint:
            params = ", ".join(f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
                               for key, value in one["params"].items())  # fmt: skip
            return f"trial {one['number']}: {params}"
    return f"{run.recipe} {run.fingerprint}"[-MOST:]


def _columns(runs: Sequence[StoredRun], subsets: Mapping[str, Sequence[str]]) -> tuple[Column, ...]:
    """Return a column for each protocol and metric of counts that an evaluation has."""
    found = dict[str, Column]()
    for run in runs:
        for one in run.evaluations:
            for metric in one.metrics if one.last else ():
                if Metric.parse(metric, subsets) is not None:
                    key = f"{one.protocol}:{metric}"
                    found.setdefault(key, Column(key, metric, metric, one.protocol))
    return tuple(found.values())
