"""Plans: load one, make its table from a store, write pages of plans and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from dupl.api.inference import AnyRun, Progress, folder_of
from dupl.api.planned import choose_runs
from dupl.api.recipes import Overrides
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.plans.plan import Plan
    from dupl.report.plan_report import AblationTable
    from dupl.runs.store import RunStore

AnyPlan = Union[str, Path, "Plan"]
AnyStore = Union[str, Path, "RunStore"]


def load_plan(name: AnyPlan) -> Plan:
    """Load a plan: the rows, columns and seeds of an ablation table.

    Args:
        name: A name that ``dupl show --plan`` lists, such as "table4_components", or the path of a file.

    Returns:
        The plan, whose ``expand(rows, seeds)`` returns its runs with their resolved recipes.

    Raises:
        UserError: There is no such plan, or it is not valid against its recipe.

    Example:
        >>> plan = dupl.load_plan("table5a_threshold")
        >>> [row.label for row in plan.rows], len(plan.expand(seeds=[0]))
        (['0.65', '0.60', '0.55', '0.50'], 4)
    """
    from dupl.plans.plan import load

    return load(name) if isinstance(name, (str, Path)) else name


def ablation_table(
    plan: AnyPlan,
    store: AnyStore = "runs",
    *,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
    data: str | None = None,
    call: int | None = None,
    form: str = "md",
    selection: str = "as-planned",
    interval: str = "behrens-fisher",
    masks: Sequence[str] = (),
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> AblationTable:
    """Make the table of a plan from the runs of a store, beside the paper's numbers.

    Differences between rows come with intervals over seeds and images; a missing run leaves a dash and a footnote.

    Args:
        plan: A plan, its name or its file.
        store: A store or its folder.
        rows: Keys of rows; all by default.
        seeds: By default the plan's.
        overrides: Values by path with which the runs were trained; None takes those of the last ``dupl ablate`` of this
            plan in the store.
        data: Digest of training or validation data, where the store has runs or evaluations on several.
        call: Number of the ``dupl ablate`` whose overrides are taken, 1 for the last one.
        form: The format that the command noted in the table names.
        selection: "as-planned", or "fair": beside each column that takes a run's better student on the reported split,
            the same of the students' averaged prediction.
        interval: Method of the intervals: "behrens-fisher" (the tables' own), "percentile" or "bca" (of a cluster
            bootstrap), "satterthwaite", or "mixed-model" (needs statsmodels). P values and stars are the default's.
        masks: Names of label maps of another program, scored by `evaluate_label_maps`; each becomes a further row.
        progress: Called with the intervals done and in all.
        tell: Called with lines on the call that is taken, and on the others.

    Returns:
        The table, which a notebook displays; ``render("md")``, also "latex", "csv" and "html", returns it as text,
        ``chart()`` as a figure, ``table.cells`` has the numbers (percent).

    Raises:
        UserError: No such plan, row, path, store or interval; or the store has runs or evaluations on different data,
            and which of them are meant is not known here.

    Example:
        >>> table = dupl.ablation_table("plan.py", "runs")
        >>> table.finished, round(table.table.cells["L_reg", "Seg"].summary.mean, 1)
        (6, 8.0)
        >>> print(table.render("csv"))
        plan,row,label,column,metric,...
    """
    from dupl.plans.commands import ablate_command, report_command
    from dupl.plans.paper import comparable
    from dupl.report.plan_report import tabulate
    from dupl.report.tables.intervals import DEFAULT, check_interval
    from dupl.report.tables.selection import SELECTIONS

    check_interval(interval)
    if selection not in SELECTIONS:
        raise UserError(f"selection is {selection!r}: give one of {', '.join(SELECTIONS)}")
    made, store = load_plan(plan).with_label_maps(masks), open_store(store)
    shown_rows = None if rows is None else [*rows, *masks]
    said = tell or (lambda line: None)
    chosen = choose_runs(made, store, shown_rows, seeds, overrides, data=data, call=call, tell=said)
    name = str(plan) if isinstance(plan, (str, Path)) else plan.name
    options = ["--masks", *masks] if masks else []
    options += ["--data", data] if data is not None else []
    options += ["--selection", selection] if selection != SELECTIONS[0] else []
    options += ["--interval", interval] if interval != DEFAULT else []
    asked: dict[str, Any] = dict(rows=rows, seeds=chosen.seeds, overrides=chosen.overrides)
    line = report_command(name, store.root, *options, form=form, **asked)
    train = ablate_command(name, store.root, **asked)
    shown = comparable(made.select(shown_rows), chosen.overrides)
    if not store.root.is_dir():
        raise UserError(f"there is no store {store.root}: dupl.ablate({name!r}) trains the runs, or name another store")
    counter = progress or (lambda done, total: None)
    how = dict(selection=selection, interval=interval)
    return tabulate(shown, chosen.runs, store, line, counter, data=data, train=train, **how)


def write_run_page(run: AnyRun, out: str | Path | None = None) -> Path:
    """Write the page of a run: its curves, its classes, its gallery and where it comes from.

    Args:
        run: Which.
        out: The file; by default ``report.html`` in the run's folder.

    Returns:
        The file, which needs no network.

    Raises:
        UserError: The folder holds no run.

    Example:
        >>> dupl.write_run_page("runs/tiny", "page.html").stat().st_size > 10_000
        True
    """
    from dupl.report.pages.run import write

    return write(folder_of(run), Path(out) if out is not None else None)


def put_table_on_wandb(table: AblationTable, root: str | Path, mode: str, tell: Callable[[str], None]) -> None:
    """Log a table on Weights & Biases, as a run of its plan's group; a failure is told and raises nothing.

    Args:
        table: Which.
        root: The store, which keeps the wandb run of the table.
        mode: "offline" or "online".
        tell: Called with a line where it fails.

    Example:
        >>> dupl.api.put_table_on_wandb(dupl.ablation_table("plan.py"), "runs", "off", print)
    """
    import pandas as pd

    from dupl.report.tables.render import TIDY, lines
    from dupl.track.after_training import log_table

    name = table.table.plan.name
    log_table(pd.DataFrame(lines(table.table), columns=TIDY), name, table_folder(root, name), mode, tell)


def ablate_command(
    plan: str,
    root: str | Path = "runs",
    *,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
) -> str:
    """Return the command that trains what was chosen of a plan.

    Args:
        plan: Its name or file.
        root: The store.
        rows: Keys of rows.
        seeds: Seeds.
        overrides: Values by path.

    Example:
        >>> dupl.api.ablate_command("table4_components", rows=["L_reg"], overrides={"schedule.lr": 1e-4})
        'dupl ablate table4_components --rows L_reg --set schedule.lr=0.0001'
    """
    from dupl.plans.commands import ablate_command as line

    return line(plan, root, rows=rows, seeds=seeds, overrides=overrides)


def write_text(file: str | Path, text: str) -> None:
    """Write a text into a file, whole or not at all.

    Example:
        >>> dupl.api.write_text("table.md", "text")
        >>> pathlib.Path("table.md").read_text()
        'text'
    """
    from dupl.atomic import atomic_write

    atomic_write(Path(file), text)


def table_folder(root: str | Path, plan: str) -> Path:
    """Return where the wandb run of a plan's table lies in a store.

    Example:
        >>> dupl.api.table_folder("runs", "demo_table4").as_posix()
        'runs/.plans/table-demo_table4'
    """
    from dupl.execute.job import PLANS

    return Path(root) / PLANS / f"table-{plan}"


def open_store(store: AnyStore) -> RunStore:
    """Return a store, however it was given."""
    from dupl.runs.store import RunStore

    return RunStore(store) if isinstance(store, (str, Path)) else store
