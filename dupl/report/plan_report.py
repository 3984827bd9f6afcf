"""The table of a plan, from the runs of a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.report.tables.row_run import RowRun
from dupl.report.tables.table import Table, table
from dupl.runs import failures, frames

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure
    from rich.console import RenderableType

    from dupl.plans.plan import Plan, PlannedRun
    from dupl.runs.store import RunStore


@dataclass(frozen=True)
class AblationTable:
    """The table of a plan with the runs behind it; a notebook displays it.

    Attributes:
        table: Cells by row and column, with intervals, the paper's numbers and notes.
        runs: The planned runs and what became of them.
        metrics: Metrics of the runs that there are, as `RunStore.frame` has them.
    """

    table: Table
    runs: list[RowRun]
    metrics: DataFrame

    @property
    def finished(self) -> int:
        """The number of runs that are finished."""
        return sum(run.state == "finished" for run in self.runs)

    def render(self, form: str = "md") -> str:
        """Return the table as "md", "latex", "csv" or "html" text."""
        from dupl.report.tables.render import render

        return self.page() if form == "html" else render(self.table, form)

    def rich(self) -> Iterator[RenderableType]:
        """Yield the table as a rich console prints it."""
        from dupl.report.tables.layout import layout
        from dupl.report.tables.terminal import terminal

        return terminal(layout(self.table))

    def page(self, folder: str | Path = ".") -> str:
        """Return the table, its charts and its runs as an HTML page.

        Args:
            folder: Where the page will lie, for its links to the pages of the runs.
        """
        from dupl.report.pages.plan import page

        return page(self.table, self.runs, self.metrics, folder)

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
) -> AblationTable:
    """Make the table of planned runs from what a store holds of them.

    Args:
        plan: With the rows to show.
        planned: One run for each row and seed.
        store: Where to look; what cannot be read is then in its ``skipped``.
        command: The command that makes the table again, to be noted in it.
        progress: Called with the intervals done and in all.
    """
    wanted = {run.fingerprint for run in planned}
    there = {stored.fingerprint: stored for stored in store.best() if stored.fingerprint in wanted}
    runs = [RowRun.of(run, there.get(run.fingerprint), failures.noted(store.root, run.fingerprint)) for run in planned]
    metrics = store.frame(there.values())
    done, todo = 0, len(plan.columns) * sum(stored.state == "finished" for stored in there.values())

    def pixels(fingerprint: str, protocol: str, split: str) -> DataFrame:
        nonlocal done
        done += 1
        progress(done, todo)
        found = store.per_image(runs=[there[fingerprint]], protocol=protocol)
        return found[found["split"] == split]

    subsets = subsets_of(planned)
    made = table(plan, runs, metrics, pixels, subsets=subsets, mixed=frames.mixed, command=command)
    return AblationTable(made, runs, metrics)


def subsets_of(planned: Sequence[PlannedRun]) -> Mapping[str, Sequence[str]]:
    """Return class names by the name of a subset's mIoU, as the recipes of the runs define it."""
    found = [run.config.evaluation.get("subset") or {} for run in planned]
    return {one["name"]: list(one["classes"]) for one in found if one.get("name")}
