"""``dupl report``."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.cli.common import command, progress_bar, recipe_options, stderr
from dupl.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

    from dupl.plans.plan import Plan, PlannedRun
    from dupl.report.tables.row_run import RowRun
    from dupl.report.tables.table import Table
    from dupl.runs.store import RunStore

FORMATS = {"md": ".md", "latex": ".tex", "csv": ".csv", "html": ".html"}


def add_report(commands: Any) -> None:
    """Declare ``dupl report``."""
    parser = command(
        commands,
        "report",
        run_report,
        "the table of a plan, beside the paper's numbers; the page of a run; or what a sweep found",
        "  dupl report table4_components\n"
        "  dupl report table4_components --out table4.html        md, tex, csv or html, by the name\n"
        "  dupl report demo_table4 --seeds 0 1 2 3 4 --format latex\n"
        "  dupl report animals_table4 --set data.train.root=DIR data.val.root=DIR\n"
        "  dupl report runs/RUN                                  writes the run's page into its folder\n"
        "  dupl report demo --out sweep.html                     of a sweep: md or html\n",
    )
    parser.add_argument(
        "what",
        metavar="PLAN|RUN|SWEEP",
        help="a plan of ablations/, a sweep of sweeps/, a file, or a run's folder",
    )
    parser.add_argument("--format", choices=FORMATS, help="of a plan or a sweep; by --out's ending, else md")
    parser.add_argument("--out", type=Path, metavar="FILE", help="instead of standard output")
    parser.add_argument("--pages", action="store_true", help="with HTML: first write the page of every run, to link it")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="the store; runs by default")
    parser.add_argument("--rows", nargs="+", metavar="KEY", help="which rows; all by default")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="which seeds; the plan's by default")
    recipe_options(parser)
    parser.add_argument("--wandb", choices=["offline", "online"], help="put the table of a plan on wandb too")
    sweep = parser.add_argument_group("of a sweep")
    sweep.add_argument(
        "--storage", metavar="URL", help="of the study, as for dupl sweep; SQLite in the store by default"
    )
    sweep.add_argument("--bootstraps", type=int, default=50, metavar="N", help="behind importances; 50 by default")


def run_report(arguments: argparse.Namespace) -> int:
    """``dupl report``."""
    from dupl.runs.run import Run

    if Run(arguments.what).exists():
        return _page(arguments)
    from dupl.cli.report_sweep import is_sweep, sweep_text
    from dupl.cli.table_on_wandb import put
    from dupl.report.pages.plan import page
    from dupl.report.tables.render import render
    from dupl.track.choice import choose

    if Path(arguments.what).is_dir():
        raise UserError(f"{arguments.what} is a folder without a run: give a run's folder, or a plan")
    if not arguments.root.is_dir():
        raise UserError(f"there is no folder {arguments.root}: run dupl ablate first, or give --root")
    form = arguments.format or "md"
    if arguments.out is not None and arguments.format is None:
        form = next((name for name, ending in FORMATS.items() if ending == arguments.out.suffix.lower()), "")
        if not form:
            raise UserError(f"--out {arguments.out}: end it with {', '.join(FORMATS.values())}, or give --format")
    if is_sweep(arguments.what):
        if arguments.wandb:
            raise UserError(f"--wandb {arguments.wandb} is for plans, and {arguments.what} is a sweep")
        return _put(sweep_text(arguments, form), arguments.out)
    if arguments.wandb:
        choose(arguments.wandb)  # before the work: what cannot be is told at once
    made, runs, frame = tabulate(arguments, form)
    if not any(run.state == "finished" for run in runs):
        none = f"no run of this table has finished in {arguments.root}"
        stderr().print(f"{none}: {train_line(arguments)} trains them", soft_wrap=True, markup=False)
    if arguments.wandb:
        put(made, arguments.root, arguments.wandb)
    if form == "html":
        text = page(made, pages(runs, arguments.pages), frame, arguments.out.parent if arguments.out else ".")
    elif arguments.pages:
        raise UserError("--pages belongs to HTML, which links them: add --out FILE.html")
    else:
        text = render(made, form)
    return _put(text, arguments.out)


def _put(text: str, out: Path | None) -> int:
    from dupl.atomic import atomic_write

    if out is None:
        print(text, end="")
    else:
        atomic_write(out, text)
        stderr().print(f"written to {out}", soft_wrap=True, markup=False)
    return 0


def _page(arguments: argparse.Namespace) -> int:
    from dupl.report.pages.run import write

    if arguments.format not in (None, "html"):
        raise UserError(f"--format {arguments.format} is for plans: the page of a run is HTML")
    if arguments.rows or arguments.seeds or arguments.set or arguments.wandb:
        raise UserError("--rows, --seeds, --set and --wandb are for plans: a run is what it is")
    print(write(Path(arguments.what), arguments.out))
    return 0


def pages(runs: list[RowRun], wanted: bool) -> list[RowRun]:
    """The runs, after the page of each that was begun is written, where that is wanted."""
    from dupl.report.pages.run import write

    for run in runs if wanted else ():
        if run.folder:
            write(Path(run.folder))
    return runs


def tabulate(arguments: argparse.Namespace, form: str) -> tuple[Table, list[RowRun], DataFrame]:
    """The table of a plan from the store, its runs, and the metrics of those that there are."""
    from dupl.config import overrides
    from dupl.plans.plan import load
    from dupl.runs.store import RunStore

    plan = load(arguments.what)
    planned = plan.expand(arguments.rows, arguments.seeds, overrides.parse(arguments.set))
    return tabulate_runs(plan.select(arguments.rows), planned, RunStore(arguments.root), command_line(arguments, form))


def tabulate_runs(
    plan: Plan, planned: list[PlannedRun], store: RunStore, line: str
) -> tuple[Table, list[RowRun], DataFrame]:
    """The same for planned runs, with the command to note."""
    from dupl.report.tables import ablation

    console = stderr()
    with progress_bar("intervals", console) as progress:
        found = ablation.tabulate(plan, planned, store, line, progress)
    for path, reason in store.skipped:
        console.print(f"skipped {path}: {reason}", soft_wrap=True, markup=False)
    return found.table, found.runs, found.metrics


def command_line(arguments: argparse.Namespace, form: str, what: str = "") -> str:
    """The command that makes this table again; the plan may be said, where ``arguments`` are another command's."""
    words = ["dupl", "report", what or arguments.what, "--format", form, "--root", str(arguments.root)]
    return shlex.join(words + chosen(arguments))


def train_line(arguments: argparse.Namespace, plan: str = "") -> str:
    """The command that trains what arguments choose; the plan may be said, where it is not their ``what``."""
    root = ["--root", str(arguments.root)] if arguments.root != Path("runs") else []
    return shlex.join(["dupl", "ablate", plan or arguments.what, *root, *chosen(arguments)])


def chosen(arguments: argparse.Namespace) -> list[str]:
    """The options that say which runs of a plan."""
    words = []
    for name in ("rows", "seeds", "set"):
        values = getattr(arguments, name)
        words += [f"--{name}", *map(str, values)] if values else []
    return words
