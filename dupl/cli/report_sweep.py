"""``dupl report SWEEP``: what the study and the store hold of a sweep, as the report takes it."""

from __future__ import annotations

import argparse
import shlex
import warnings
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from dupl.cli.common import progress_bar, stderr
from dupl.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

    from dupl.plans.plan import Plan
    from dupl.plans.sweep import Sweep
    from dupl.report.sweep.summary import SweepReport
    from dupl.report.sweep.trials import SweepOutline
    from dupl.report.tables.table import Table
    from dupl.runs.store import RunStore


def is_sweep(name: str) -> bool:
    """Whether a name or file is of a sweep; a plan of the same name wins."""
    from dupl.config import catalogue

    for kind in ("ablations", "sweeps"):
        try:
            return "space" in catalogue.declared(catalogue.resolve(name, kind)).values
        except UserError:
            continue
    return False


def sweep_text(arguments: argparse.Namespace, form: str) -> str:
    """The report of a sweep.

    Raises:
        UserError: It has no study, or the options are those of plans.
    """
    if form not in ("md", "html"):
        raise UserError(f"--format {form} is for plans: the report of a sweep is md or html")
    if arguments.rows or arguments.seeds or arguments.pages:
        raise UserError("--rows, --seeds and --pages are for plans: a sweep has trials")
    if arguments.bootstraps < 0:
        raise UserError(f"--bootstraps {arguments.bootstraps}: give 0 or more")
    made, frame, tables = examined(arguments)
    if form == "md":
        from dupl.report.sweep.text import sweep_markdown

        return sweep_markdown(made, tables)
    from dupl.report.pages.sweep import sweep_page

    return sweep_page(made, frame, tables, arguments.out.parent if arguments.out else ".")


def examined(arguments: argparse.Namespace) -> tuple[SweepReport, DataFrame, list[Table]]:
    """What the trials tell, the metrics of their runs, and tables of plans."""
    from dupl.config import overrides
    from dupl.plans.samplers import quiet_optuna
    from dupl.runs.store import RunStore

    with warnings.catch_warnings(), progress_bar("importances", stderr()) as progress, ExitStack() as stack:
        warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm's, in a notebook without widgets
        stack.enter_context(quiet_optuna())
        from dupl.plans.study import open_study, trials
        from dupl.plans.sweep import load
        from dupl.report.sweep.summary import report

        sweep = load(arguments.what, overrides.parse(arguments.set))
        found = trials(open_study(sweep, arguments.storage, arguments.root))
        made = report(outline_of(sweep, arguments), found, bootstraps=arguments.bootstraps, progress=progress)
    store, wanted = RunStore(arguments.root), set(found["run"])
    frame = store.frame([stored for stored in store.best() if stored.fingerprint in wanted])
    return made, frame, plan_tables(sweep, found, store, made.outline.facts["command"])


def outline_of(sweep: Sweep, arguments: argparse.Namespace) -> SweepOutline:
    """A sweep as the report takes it."""
    from dupl.plans.study import default_url, shown
    from dupl.report.sweep.trials import Axis, SweepOutline

    axes = [
        Axis(p.name, p.label, p.low, p.high, p.step, p.log, p.type == "int", tuple(choice for choice, _ in p.choices))
        for p in sweep.space.values()
    ]
    words = ["dupl", "report", arguments.what, "--root", str(arguments.root)]
    words += ["--storage", shown(arguments.storage)] if arguments.storage else []
    words += ["--set", *arguments.set] if arguments.set else []
    facts = {"recipe": sweep.base}
    for name, spec in (("sampler", sweep.sampler), ("pruner", sweep.pruner)):
        told = ", ".join(f"{key}={value}" for key, value in spec.items() if key != "type")
        facts[name] = spec["type"] + (f" ({told})" if told else "")
    facts["constraints"] = "; ".join(one.text for one in sweep.constraints) or "none"
    facts["study"] = f"{sweep.study} at {shown(arguments.storage or default_url(sweep, arguments.root))}"
    facts["command"] = shlex.join(words)
    return SweepOutline(
        name=sweep.name,
        title=sweep.title,
        goals=sweep.goal,
        axes=tuple(axes),
        iterations=sweep.config.schedule.iterations,
        start=0 if sweep.start_from else None,
        facts=facts,
    )


def plan_tables(sweep: Sweep, found: DataFrame, store: RunStore, line: str) -> list[Table]:
    """Tables of plans that vary one of the sweep's parameters, as far as its trials lie on their rows.

    A row's run is that of the plan, trained and judged on the sweep's data: a trial has it where its other parameters
    are the recipe's. Tables with fewer than two such rows are left out.
    """
    from dupl.cli.report import tabulate_runs
    from dupl.config import catalogue
    from dupl.plans.plan import load
    from dupl.plans.plan_file import merge

    done, tables = set(found.loc[found["state"].isin(["complete", "pruned"]), "run"]), []
    moved = [set(parameter.paths) for parameter in sweep.space.values()]
    for name in catalogue.names("ablations"):
        values = catalogue.declared(catalogue.resolve(name, "ablations")).values
        if values.get("base") != sweep.base or set(values.get("vary", {}).get("paths", ())) not in moved:
            continue
        plan = load(name)
        planned = plan.expand(seeds=[sweep.config.runtime.seed], sets=merge(sweep.set, sweep.search))
        if sum(run.fingerprint in done for run in planned) < 2:
            continue
        tables.append(tabulate_runs(_as_trained(plan, sweep), planned, store, line)[0])
    return tables


def _as_trained(plan: Plan, sweep: Sweep) -> Plan:
    """Return a plan with the columns that trials have, and with what its numbers are not."""
    columns = tuple(replace(column, protocol="train") for column in plan.columns)
    reference = (
        f"from trials of the sweep {sweep.name}, one seed, judged on its search split by the training's own "
        "evaluation; the paper's numbers are of val, and of its protocol"
    )
    return replace(plan, title=f"{plan.title} (from trials)", columns=columns, reference=reference)
