"""The report of a sweep, from its study and the runs of a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.config import catalogue
from dupl.plans.checks import merge
from dupl.plans.commands import report_command
from dupl.plans.describe import describe_spec
from dupl.plans.plan import Plan, load
from dupl.plans.samplers import quiet_optuna
from dupl.plans.study import default_url, open_study
from dupl.report.plan_report import tabulate
from dupl.report.sweep.summary import SweepReport, report
from dupl.report.sweep.trials import fingerprint_of, state_of
from dupl.report.tables.table import Table
from dupl.terminal import without_passwords

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from pandas import DataFrame

    from dupl.plans.sweep import Sweep
    from dupl.report.pages.html import Site
    from dupl.runs.store import RunStore


@dataclass(frozen=True)
class SweepFindings:
    """What a sweep found; a notebook displays it.

    Attributes:
        report: The trials, the best of them, and how much each parameter matters.
        metrics: Metrics of the trials' runs, as `RunStore.frame` has them.
        tables: Of plans that vary one of the sweep's parameters, as far as trials lie on their rows.
    """

    report: SweepReport
    metrics: DataFrame
    tables: list[Table]

    def render(self, form: str = "md", folder: str | Path = ".", site: Site | None = None) -> str:
        """Return the report as "md" text or as an "html" page.

        Args:
            form: Which.
            folder: Where the page will be written, for its links to the pages of the runs.
            site: Where the page stands; None: in a file.
        """
        if form == "html":
            from dupl.report.pages.html import FILE
            from dupl.report.pages.sweep import sweep_page

            return sweep_page(self.report, self.metrics, self.tables, folder, site or FILE)
        from dupl.report.sweep.text import sweep_markdown

        return sweep_markdown(self.report, self.tables)

    def _repr_markdown_(self) -> str:
        return self.render("md")


def examine(
    sweep: Sweep,
    store: RunStore,
    *,
    storage: str | None = None,
    bootstraps: int = 50,
    progress: Callable[[int, int], None] = lambda done, total: None,
    command: str | None = None,
) -> SweepFindings:
    """Report what the trials of a sweep tell.

    Args:
        sweep: Of which.
        store: With its runs, and its study where ``storage`` is None.
        storage: URL of the study.
        bootstraps: Behind the spread of importances.
        progress: Called with the bootstraps done and in all.
        command: That makes the report again.

    Raises:
        UserError: There is no study.
    """
    shown = without_passwords(storage) if storage else None
    command = command or report_command(sweep.name, store.root, storage=shown)
    with quiet_optuna():
        trials = open_study(sweep, storage, store.root).get_trials(deepcopy=False)
        facts = provenance(sweep, store.root, storage, command)
        made = report(sweep, trials, bootstraps=bootstraps, progress=progress, facts=facts)
    wanted = set(map(fingerprint_of, trials))
    metrics = store.frame([stored for stored in store.best() if stored.fingerprint in wanted])
    return SweepFindings(made, metrics, plan_tables(sweep, trials, store, command))


def provenance(sweep: Sweep, root: str | Path, storage: str | None, command: str) -> dict[str, str]:
    """Return where the trials of a sweep come from, by name."""
    facts = {"recipe": sweep.base}
    facts |= {"sampler": describe_spec(sweep.sampler), "pruner": describe_spec(sweep.pruner)}
    facts["constraints"] = "; ".join(one.text for one in sweep.constraints) or "none"
    facts["study"] = f"{sweep.study} at {without_passwords(storage or default_url(sweep, root))}"
    facts["command"] = command
    return facts


def plan_tables(sweep: Sweep, trials: Sequence[FrozenTrial], store: RunStore, command: str) -> list[Table]:
    """Make the tables of plans that vary one of the sweep's parameters, as far as its trials lie on their rows.

    The run of a row is that of the plan, trained and evaluated on the sweep's data: a trial is that run where its
    other parameters are the recipe's. Tables with fewer than two such rows are left out.
    """
    done, tables = {fingerprint_of(trial) for trial in trials if state_of(trial) in ("complete", "pruned")}, []
    moved = [set(parameter.paths) for parameter in sweep.space.values()]
    for name in catalogue.names("ablations"):
        values = catalogue.declared(catalogue.resolve(name, "ablations")).values
        if values.get("base") != sweep.base or set(values.get("vary", {}).get("paths", ())) not in moved:
            continue
        plan = load(name)
        planned = plan.expand(seeds=[sweep.config.runtime.seed], sets=merge(sweep.set, sweep.search))
        if sum(run.fingerprint in done for run in planned) < 2:
            continue
        tables.append(tabulate(_of_trials(plan, sweep), planned, store, command).table)
    return tables


def _of_trials(plan: Plan, sweep: Sweep) -> Plan:
    """Return a plan with the columns that trials have, and with what its numbers are not."""
    columns = tuple(replace(column, protocol="train") for column in plan.columns)
    reference = (
        f"from trials of the sweep {sweep.name}, one seed, evaluated on its search split by the evaluation of "
        "training; the paper's numbers are of val, and of its protocol"
    )
    return replace(plan, title=f"{plan.title} (from trials)", columns=columns, reference=reference)
