"""The table of a plan, from the runs of a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.plans.paper import of_papers_size
from dupl.report.run_comparison import class_table
from dupl.report.tables.column import shown_split
from dupl.report.tables.evaluated_data import evaluated_on_one
from dupl.report.tables.intervals import DEFAULT
from dupl.report.tables.other_data import other_data_notes
from dupl.report.tables.row_run import RowRun
from dupl.report.tables.selection import fair_plan, with_fair
from dupl.report.tables.selection_audit import Audit
from dupl.report.tables.table import Table, table
from dupl.runs import failures, layout
from dupl.runs.making import mixed

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure
    from rich.console import RenderableType

    from dupl.plans.plan import Plan, PlannedRun
    from dupl.report.pages.html import Site
    from dupl.runs.pixel_counts import ChooseMaps, PixelCounts
    from dupl.runs.store import RunStore
    from dupl.runs.stored_run import StoredRun


@dataclass(frozen=True)
class AblationTable:
    """The table of a plan with the runs behind it; a notebook displays it.

    Attributes:
        table: Cells by row and column, with intervals, the paper's numbers and notes.
        runs: The planned runs and what became of them.
        metrics: Metrics of the runs that there are, as `RunStore.frame` has them.
        rates: Over-activation per class by the metric of a column, such as "cam/1/OA", with the split that the column
            names, such as "cam/1/OA on train": percent, a row per class and a column per row of the plan with a value.
        train: The command that trains and evaluates what is missing.
    """

    table: Table
    runs: list[RowRun]
    metrics: DataFrame
    rates: Mapping[str, DataFrame] = field(default_factory=dict)
    train: str = ""

    @property
    def finished(self) -> int:
        """The number of runs that are finished."""
        return sum(run.state == "finished" for run in self.runs)

    def render(self, form: str = "md", style: str = "full") -> str:
        """Return the table as "md", "latex", "csv" or "html" text; LaTeX also in the style "paper"."""
        from dupl.report.tables.render import render

        return self.page() if form == "html" and style == "full" else render(self.table, form, style)

    def rich(self) -> Iterator[RenderableType]:
        """Yield the table as a rich console prints it."""
        from dupl.report.tables.layout import layout
        from dupl.report.tables.terminal import terminal

        return terminal(layout(self.table))

    def page(self, folder: str | Path = ".", site: Site | None = None) -> str:
        """Return the table, its charts and its runs as an HTML page.

        Args:
            folder: Where the page will lie, for its links to the pages of the runs.
            site: Where the page stands; None: in a file.
        """
        from dupl.report.pages.html import FILE
        from dupl.report.pages.plan import page

        return page(self.table, self.runs, self.metrics, folder, self.rates, site or FILE)

    def chart(self) -> Figure:
        """Return the table as a plotly figure: each run, the mean and spread of each row, the paper's number."""
        from dupl.report.run_comparison_charts import table_chart

        return table_chart(self.table)

    def _repr_markdown_(self) -> str:
        return self.render("md")


def tabulate(
    plan: Plan,
    planned: Sequence[PlannedRun],
    store: RunStore,
    command: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    data: str | None = None,
    train: str = "",
    selection: str = "as-planned",
    interval: str = DEFAULT,
) -> AblationTable:
    """Make the table of planned runs from what a store holds of them.

    Args:
        plan: With the rows to show.
        planned: One run for each row and seed.
        store: Where to look; what cannot be read is then in its ``skipped``.
        command: The command that makes the table again, to be noted in it.
        progress: Called with the intervals done and in all.
        data: Digest of data that the user names, where there are runs or evaluations on several.
        train: The command that trains and evaluates what is missing.
        selection: One of `dupl.report.tables.selection.SELECTIONS`; "fair" adds columns that choose no student.
        interval: Name of the method of the intervals.

    Raises:
        UserError: The runs were evaluated on different data, and which are meant is not known here.
    """
    best = store.best()
    plan, there = shown_runs(plan, planned, best, data)
    runs = [RowRun.of(run, there.get(run.fingerprint), failures.noted(store.root, run.fingerprint)) for run in planned]
    metrics = store.frame(there.values())
    if selection == "fair":
        plan, metrics = fair_plan(plan), with_fair(metrics)
    audit = Audit(planned, there, best, store)
    done, todo = 0, len(plan.columns) * sum(stored.state == "finished" for stored in there.values())

    def pixels(fingerprint: str, protocol: str, split: str, choose: ChooseMaps, report: str) -> PixelCounts | None:
        nonlocal done
        done += 1
        progress(done, todo)
        return store.images_of(there[fingerprint], protocol, split, choose, report)

    subsets = subsets_of(planned)
    how: dict[str, Any] = dict(subsets=subsets, selected=audit.rules, mixed=mixed, command=command, interval=interval)
    made = table(plan, runs, metrics, pixels, **how)
    notes = audit.notes()
    shown = plan.protocols, plan.best_protocols
    notes += other_data_notes(planned, there, best, *shown, named=data, train=train)
    made = replace(made, notes=(*made.notes, *notes))
    return AblationTable(made, runs, metrics, class_rates(plan, runs, store, there.values()), train)


def shown_runs(
    plan: Plan, planned: Sequence[PlannedRun], stored: Iterable[StoredRun], data: str | None = None
) -> tuple[Plan, dict[str, StoredRun]]:
    """Return a plan as its table shows it, and the runs that the table shows with the evaluations that speak for them.

    Args:
        plan: With the rows to show.
        planned: One run for each row and seed.
        stored: The runs of a store, one of each id.
        data: Digest of data that the user names, where there are runs or evaluations on several.

    Returns:
        The plan, without the paper's numbers where the data are of another size; and the runs by id.

    Raises:
        UserError: As `tabulate`.
    """
    wanted = {run.fingerprint for run in planned}
    there = {run.fingerprint: run for run in stored if run.fingerprint in wanted}
    there = evaluated_on_one(planned, there, plan.protocols, data, plan.best_protocols)
    if planned:
        plan = of_papers_size(plan, planned[0].values.get("data") or {}, _records(there.values()))
    return plan, there


def _records(stored: Iterable[StoredRun]) -> Iterator[Mapping[str, Any]]:
    """Yield what runs recorded of the data that they read; earlier versions recorded nothing."""
    for run in stored:
        with suppress(UserError):
            found = run.run.read_json(layout.DATA)
            if isinstance(found, dict):
                yield found


def class_rates(
    plan: Plan, runs: Sequence[RowRun], store: RunStore, stored: Iterable[StoredRun]
) -> dict[str, DataFrame]:
    """Return the over-activation per class of last weights, for each column that is their mean OA rate of a label map.

    Args:
        plan: With the rows to show.
        runs: One for each row and seed.
        store: Reads the evaluations.
        stored: The runs that the store holds.
    """
    found: dict[str, DataFrame] = {}
    finished = {run.fingerprint for run in runs if run.state == "finished"}
    for column in plan.columns:
        label_map, _, measure = column.metric.rpartition("/")
        if measure != "OA" or not finished or column.report == "best":
            continue
        counts = store.counts(stored, fingerprints=finished, protocol=column.protocol)
        part = counts[counts["map"] == label_map]
        part = part[part["split"] == shown_split(column, part["split"])]
        known = set(part["fingerprint"])
        groups = {
            row.label: [run.fingerprint for run in runs if run.row == row.key and run.fingerprint in known]
            for row in plan.rows
        }
        if groups := {label: members for label, members in groups.items() if members}:
            name = f"{column.metric} on {column.split}" if column.split else column.metric
            found[name] = class_table(part, label_map, "OA", groups).drop("background", errors="ignore")
    return found


def subsets_of(planned: Sequence[PlannedRun]) -> Mapping[str, Sequence[str]]:
    """Return class names by the name of a subset's mIoU, as the recipes of the runs define it."""
    found = [run.values["evaluation"].get("subset") or {} for run in planned]
    return {one["name"]: list(one["classes"]) for one in found if one.get("name")}
