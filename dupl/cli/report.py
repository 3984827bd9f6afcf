"""``dupl report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl import api
from dupl.cli.common import command, progress_bar, recipe_options, say, stderr, store_options
from dupl.errors import UserError
from dupl.terminal import printable

if TYPE_CHECKING:
    from dupl.api import AblationTable

SELECTION, INTERVAL, STYLE = "as-planned", "behrens-fisher", "full"  # defaults
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
        "  dupl report table4_components --out table4.tex --style paper\n"
        "  dupl report demo_table4 --selection fair              without the choice of a student, side by side\n"
        "  dupl report demo_table4 --interval bca                intervals by another method\n"
        "  dupl report demo_table4 --masks deeplab               a further row: label maps of dupl eval --masks\n"
        "  dupl report animals_table4 --set data.train.root=DIR data.val.root=DIR\n"
        "  dupl report demo_table4 --compute-form --out compute.tex\n"
        "  dupl report demo_table4 --checklist\n"
        "  dupl report runs/RUN                                  writes the run's page into its folder\n"
        "  dupl report demo --out sweep.html                     of a sweep: md or html\n",
    )
    parser.add_argument("what", metavar="PLAN|RUN|SWEEP", help="a plan, a sweep, a file of one, or a run's folder")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="format of the report of a plan or a sweep; default: by the ending of --out, else a table or md",
    )
    parser.add_argument(
        "--style",
        choices=["full", "paper"],
        default=STYLE,
        help="with LaTeX: full (intervals, sources), or the paper's own form with the best numbers in bold",
    )
    parser.add_argument(
        "--selection",
        choices=["as-planned", "fair"],
        default=SELECTION,
        help="fair: beside each column that takes a run's better student, the same of the students' average",
    )
    parser.add_argument(
        "--interval",
        default=INTERVAL,
        metavar="NAME",
        help="method of the intervals: behrens-fisher (the tables' own; default), percentile or bca (of a cluster "
        "bootstrap), satterthwaite, mixed-model; p values and stars are always the default's",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write into this file instead of standard output")
    parser.add_argument(
        "--pages", action="store_true", help="with HTML: write the page of every run first, and link it"
    )
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    parser.add_argument("--rows", nargs="+", metavar="KEY", help="keys of rows; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="seeds; default: the plan's")
    parser.add_argument(
        "--masks", nargs="+", default=[], metavar="NAME", help="further rows: label maps that dupl eval --masks scored"
    )
    recipe_options(parser)
    store_options(parser)
    forms = parser.add_argument_group("of a plan: what reviewers ask for").add_mutually_exclusive_group()
    forms.add_argument(
        "--compute-form", action="store_true", help="hours, devices, memory, failures and energy: md, latex or csv"
    )
    forms.add_argument(
        "--checklist", action="store_true", help="the items of the NeurIPS checklist that runs can answer, as md"
    )
    parser.add_argument("--watts", type=float, metavar="W", help="with --compute-form: measured power of one GPU")
    tracked = parser.add_mutually_exclusive_group()
    tracked.add_argument("--wandb", choices=["offline", "online"], help="log the table of a plan on wandb too")
    tracked.add_argument("--track", dest="wandb", choices=["trackio"], help="log the table of a plan on trackio too")
    sweep = parser.add_argument_group("of a sweep")
    sweep.add_argument(
        "--storage", metavar="URL", help="storage of the study, as for dupl sweep; default: SQLite in the store"
    )
    sweep.add_argument(
        "--bootstraps", type=int, default=50, metavar="N", help="bootstrap samples behind the importances; default: 50"
    )


def run_report(arguments: argparse.Namespace) -> int:
    """Run ``dupl report``."""
    what = arguments.what
    if arguments.compute_form or arguments.checklist:
        return _form_for_reviewers(arguments)
    if api.is_run(what):
        return _run_page(arguments)
    if Path(what).is_dir() and not (api.is_plan(what) or api.is_sweep(what)):
        raise UserError(f"{what} is a folder without a run: give a run's folder, or a plan")
    if not arguments.root.is_dir():
        if not api.is_sweep(what):
            api.load_plan(what)  # a misspelt name is told before a missing store
        raise UserError(f"there is no folder {arguments.root}: run dupl ablate first, or give --root")
    form = _form(arguments)
    if api.is_sweep(what):
        return _put(_sweep_text(arguments, form), arguments.out)
    if arguments.style != "full" and form != "latex":
        raise UserError(f"--style {arguments.style} belongs to LaTeX: add --format latex or --out FILE.tex")
    if arguments.pages and form != "html":
        raise UserError("--pages belongs to HTML, which links them: add --out FILE.html")
    if arguments.wandb:
        api.check_wandb(arguments.wandb)  # before the work: what cannot be is told at once
    chosen = dict(rows=arguments.rows, seeds=arguments.seeds, overrides=arguments.set or None)
    table = _table(what, arguments.root, form, **chosen, **_how(arguments))
    if arguments.wandb:
        api.put_table_on_wandb(table, arguments.root, arguments.wandb, say(stderr()))
    for run in table.runs if arguments.pages else ():
        if run.folder:
            api.write_run_page(run.folder)
    if _on_terminal(arguments):
        return _show(table)
    page = form == "html" and arguments.style == "full"
    where = arguments.out.parent if arguments.out else "."
    text = table.page(where) if page else printable(table.render(form, arguments.style))
    return _put(text, arguments.out)


def _how(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return how the table of a plan is made, as `api.ablation_table` takes it."""
    names = ("data", "call", "selection", "interval", "masks")
    return {name: getattr(arguments, name) for name in names}


def _form_for_reviewers(arguments: argparse.Namespace) -> int:
    """Print or write the compute report or the checklist of a plan."""
    what, root = arguments.what, arguments.root
    if api.is_run(what) or api.is_sweep(what):
        raise UserError(f"--compute-form and --checklist are of plans, and {what} is none")
    api.load_plan(what)  # a misspelt name is told before a missing store
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: run dupl ablate first, or give --root")
    chosen = dict(rows=arguments.rows, seeds=arguments.seeds, overrides=arguments.set or None)
    chosen |= dict(data=arguments.data, call=arguments.call, tell=say(stderr()))
    form = _form(arguments)
    if arguments.compute_form:
        found = api.compute_form(what, root, **chosen, watts=arguments.watts)
        return _put(printable(api.compute_text(found, form)), arguments.out)
    if form != "md":
        raise UserError(f"--format {form}: the checklist is md")
    return _put(printable(api.checklist(what, root, **chosen)), arguments.out)


def print_table(plan: str, root: Path, *, seeds: Sequence[int] | None = None) -> int:
    """Print the table of a plan: as a table on a terminal, as Markdown elsewhere."""
    table = _table(plan, root, "md", rows=None, seeds=seeds, overrides=None)
    return _show(table) if sys.stdout.isatty() else _put(table.render("md"), None)


def _on_terminal(arguments: argparse.Namespace) -> bool:
    """Return whether a person reads the output: no format and no file is asked for, and nothing is redirected."""
    return arguments.format is None and arguments.out is None and sys.stdout.isatty()


def _show(table: AblationTable) -> int:
    from dupl.terminal import safe_console

    console = safe_console(highlight=False, markup=False)
    for part in table.rich():
        console.print(part)
    return 0


def _table(plan: str, root: Path, form: str, **chosen: Any) -> AblationTable:
    """Make the table of a plan, and tell what it lacks; the keywords are those of `api.ablation_table`."""
    console, store = stderr(), api.RunStore(root)
    with progress_bar("intervals", console) as progress:
        table = api.ablation_table(plan, store, **chosen, form=form, progress=progress, tell=say(console))
    for path, reason in store.skipped:
        say(console)(f"skipped {path}: {reason}")
    if not table.finished:
        say(console)(f"no run of this table has finished in {root}: {table.train} trains them")
    return table


def _form(arguments: argparse.Namespace) -> str:
    """Return the format, by ``--format`` or the ending of ``--out``."""
    if arguments.format is not None or arguments.out is None:
        return arguments.format or "md"
    form = next((name for name, ending in FORMATS.items() if ending == arguments.out.suffix.lower()), "")
    if not form:
        raise UserError(f"--out {arguments.out}: end it with {', '.join(FORMATS.values())}, or give --format")
    return form


def _run_page(arguments: argparse.Namespace) -> int:
    if arguments.format not in (None, "html"):
        raise UserError(f"--format {arguments.format} is for plans: the page of a run is HTML")
    if given := _of_plans(arguments, "set", "wandb", "pages"):
        raise UserError(f"{given}: these are for plans; a run is what it is")
    print(api.write_run_page(arguments.what, arguments.out))
    return 0


def _of_plans(arguments: argparse.Namespace, *further: str) -> str:
    """Return the options of plans that were given, separated by commas."""
    usual = {"interval": INTERVAL, "selection": SELECTION, "style": STYLE}
    names = ("rows", "seeds", "data", "call", "masks", *usual, *further)
    given = [name for name in names if getattr(arguments, name) not in (None, False, [], usual.get(name))]
    return ", ".join(f"--{name}" for name in given)


def _sweep_text(arguments: argparse.Namespace, form: str) -> str:
    """Return the report of a sweep, as Markdown or HTML."""
    if arguments.wandb:
        raise UserError(f"--wandb {arguments.wandb} is for plans, and {arguments.what} is a sweep")
    if form not in ("md", "html"):
        raise UserError(f"--format {form} is for plans: the report of a sweep is md or html")
    if given := _of_plans(arguments, "pages"):
        raise UserError(f"{given}: these are for plans; a sweep has trials")
    with progress_bar("importances", stderr()) as progress:
        found = api.sweep_report(
            arguments.what,
            arguments.root,
            storage=arguments.storage,
            overrides=arguments.set or None,
            bootstraps=arguments.bootstraps,
            progress=progress,
            tell=say(stderr()),
        )
    text = found.render(form, arguments.out.parent if arguments.out else ".")
    return text if form == "html" else printable(text)


def _put(text: str, out: Path | None) -> int:
    """Print a text, or write it into a file."""
    if out is None:
        print(text, end="")
    else:
        api.write_text(out, text)
        say(stderr())(f"written to {out}")
    return 0
