"""``dupl runs``."""

from __future__ import annotations

import argparse
import re
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl import api
from dupl.cli.common import command, json_option, print_json, say, stderr, tally
from dupl.errors import UserError
from dupl.terminal import counted, printable

if TYPE_CHECKING:
    from rich.table import Table

    from dupl.api import RunLine, RunStore, StoredRun

COLOURS = {"finished": "green", "running": "cyan", "failed": "red", "interrupted": "yellow"}
MANY = 1000  # runs of which a terminal does not fold the names, which would take long
COLUMNS = ("state", "iterations", "seed", "trained", "age", "size", "commit", "images, classes judged")
LEFT = (0, 1, 3, 9)  # columns of text
METRIC = "seg/best/mIoU"  # of the better student
SORT = ("plan", "state", "iterations", "seed", "trained", "age", "size", "metric")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_runs(commands: Any) -> None:
    """Declare ``dupl runs``."""
    states = api.run_states()
    parser = command(
        commands,
        "runs",
        run_runs,
        "list the runs of a store, or remove some",
        "  dupl runs\n"
        "  dupl runs --plan table4_components --state failed interrupted\n"
        "  dupl runs --sort metric --metric cam/best/mIoU\n"
        "  dupl runs --newer 1d --json                   for other programs\n"
        "  dupl runs 50499104abe8 runs/demo-toy-a9260e40f12f\n"
        "  dupl runs --state failed --older 2w --rm      shows what would go, and asks\n"
        "  dupl runs --prune --dry-run                   checkpoints that nothing needs any more\n",
    )
    parser.add_argument("which", nargs="*", metavar="RUN", help="fingerprints or folders of runs; default: all")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    parser.add_argument("--plan", metavar="PLAN", help="only runs of this plan, with any seed")
    parser.add_argument("--rows", nargs="+", metavar="KEY", help="only runs of these rows, of the plan or of any plan")
    parser.add_argument("--metric", default=METRIC, metavar="NAME", help=f"metric to list; default: {METRIC}")
    parser.add_argument("--sort", choices=SORT, help="order, the best or largest first; default: by folder")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH=VALUE",
        help="values with which the runs of the plan were trained, as for dupl ablate",
    )
    parser.add_argument(
        "--state", nargs="+", choices=states, metavar="STATE", help=f"only runs in these states: {', '.join(states)}"
    )
    parser.add_argument(
        "--older",
        type=age,
        metavar="AGE",
        help="only runs that ended longer ago than 30m, 12h, 7d, 2w; one that has not ended counts from its last sign",
    )
    parser.add_argument("--newer", type=age, metavar="AGE", help="only runs that ended at most so long ago")
    json_option(parser, "print everything known as JSON")
    parser.add_argument("--rm", action="store_true", help="delete these runs; one that is training is kept")
    parser.add_argument(
        "--prune",
        action="store_true",
        help="delete the checkpoints of these runs that no resumption, evaluation, table or later run needs",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --prune: say what would be deleted, and delete nothing"
    )
    parser.add_argument("--yes", action="store_true", help="with --rm or --prune: do not ask for confirmation")


def age(text: str) -> timedelta:
    """Return a time span as typed: a number and m, h, d or w."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([mhdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: write 30m, 12h, 7d or 2w")
    return timedelta(**{UNITS[match[2]]: float(match[1])})


def run_runs(arguments: argparse.Namespace) -> int:
    """Run ``dupl runs``."""
    named = (arguments.which, arguments.plan, arguments.rows, arguments.state, arguments.older, arguments.newer)
    if arguments.rm and not any(named):
        raise UserError(
            "--rm without a choice would remove every run: say which, or choose by --plan, --state or --older"
        )
    if arguments.rm and arguments.json:
        raise UserError("--json lists and --rm removes: choose one")
    if arguments.prune and (arguments.rm or arguments.json):
        raise UserError("--prune removes checkpoints, --rm removes runs and --json lists them: choose one")
    if arguments.yes and not (arguments.rm or arguments.prune):
        raise UserError("--yes answers --rm and --prune: there is nothing to answer")
    if arguments.dry_run and not arguments.prune:
        raise UserError("--dry-run belongs to --prune; --rm shows what would go, and asks")
    if not arguments.root.is_dir():
        raise UserError(f"there is no folder {arguments.root}: train something first, or give --root")
    store = api.RunStore(arguments.root)
    lasting = dict(states=arguments.state, older=arguments.older, newer=arguments.newer)
    if arguments.json or arguments.rm or arguments.prune or arguments.which or arguments.plan or arguments.rows:
        chosen = dict(plan=arguments.plan, rows=arguments.rows, overrides=arguments.set or None, tell=say(stderr()))
        runs = api.select_runs(store, arguments.which, **chosen, **lasting)
        lines = [api.run_line(store, stored) for stored in runs]
    else:
        runs, lines = [], api.list_runs(store, **lasting)
    if arguments.sort:
        places = sorted(range(len(lines)), key=lambda i: rank(lines[i], arguments.sort, arguments.metric))
        lines, runs = [lines[i] for i in places], [runs[i] for i in places] if runs else []
    for stored in runs:
        store.add_skipped(stored)
    if arguments.json:
        damaged = [{"path": str(path), "reason": reason} for path, reason in store.skipped]
        pairs = zip(runs, lines, strict=True)
        print_json({"runs": [facts(*pair, arguments.metric) for pair in pairs], "damaged": damaged})
        return 0
    console = stderr()
    if arguments.prune:
        return prune(store, runs, yes=arguments.yes, dry_run=arguments.dry_run)
    show(lines, arguments.metric, arguments.root)
    for path, reason in store.skipped:
        say(console)(f"skipped: {path}: {reason}")
    return remove(store, runs, [one.size for one in lines], arguments.yes) if arguments.rm and runs else 0


def rank(line: RunLine, key: str, metric: str) -> Any:
    """Return what a run is ordered by: the best or largest first, the youngest first, names from a to z."""
    value = line.metrics.get(metric)
    ranks = {
        "plan": line.plans,
        "state": line.state,
        "iterations": -line.iteration,
        "seed": line.seed,
        "trained": -line.seconds,
        "age": -line.seen,
        "size": -line.size,
        "metric": (value is None, -(value or 0.0)),
    }
    return ranks[key]


def facts(stored: StoredRun, line: RunLine, metric: str) -> dict[str, Any]:
    """Return everything known of a run as plain values."""
    plans = [{"plan": plan, "row": row} for plan, row in line.plans]
    return api.run_facts(stored) | {"plans": plans, "metric": {metric: line.metrics.get(metric)}}


def cells(line: RunLine, metric: str, root: Path, now: float) -> list[str]:
    """Return the cells of a run's row."""
    from rich.filesize import decimal

    value = line.metrics.get(metric)
    return [
        printable(line.path.relative_to(root).as_posix()),
        printable(", ".join(f"{plan}: {row}" for plan, row in line.plans) or "–"),
        "–" if value is None else f"{value:.1f}",
        "label maps" if line.iterations == 0 else line.state + " (died)" * line.stale,
        "–" if line.iterations == 0 else f"{line.iteration}/{'?' if line.iterations is None else line.iterations}",
        str(line.seed),
        str(timedelta(seconds=round(line.seconds))),
        span(now - line.seen),
        decimal(line.size),
        printable(line.commits),
        line.judged or "–",
    ]


def show(lines: list[RunLine], metric: str, root: Path) -> None:
    """Print the runs as a table with their totals; where there is no terminal, or they are many, one line for each."""
    from rich.filesize import decimal
    from rich.markup import escape

    from dupl.terminal import safe_console

    console = safe_console(highlight=False)
    if not lines:
        console.print(f"no such runs in {escape(str(root))}", soft_wrap=True)
        return
    now = datetime.now(timezone.utc).timestamp()
    rows, other = [cells(line, metric, root, now) for line in lines], api.on_other_data(lines)
    for line, row in zip(lines, rows, strict=True):
        row[-1] += ", other data" * (line.path in other)
    names = ["run", "plan: row", metric, *COLUMNS]
    if console.is_terminal and len(rows) <= MANY:
        console.print(table_of(names, rows))
    else:
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        sides = [str.ljust if i in LEFT else str.rjust for i in range(len(names))]
        for row in [names, *rows]:
            padded = (side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True))
            print("  ".join(padded).rstrip())
    told = tally(line.state for line in lines)
    if other:
        print("\nother data: evaluated on other data than the newest run of the recipe, not to be compared with it")
    if shared := sum(line.shared for line in lines):
        trained = timedelta(seconds=round(sum(line.seconds for line in lines)))
        print(f"\ntrained {trained}; beginnings that other runs trained saved {timedelta(seconds=round(shared))}")
    print(f"\n{counted(len(lines), 'run')}, {decimal(sum(line.size for line in lines))}: {told}")


def table_of(names: list[str], rows: list[list[str]]) -> Table:
    """Return a table that folds long names, its states in colours."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, name in enumerate(names):
        side: Any = "left" if i in LEFT else "right"
        fold: Any = dict(overflow="fold") if i < 2 else dict(no_wrap=True) if i > 2 else {}
        table.add_column(escape(name), justify=side, **fold)
    for row in rows:
        coloured = [escape(cell) for cell in row]
        coloured[3] = f"[{COLOURS.get(row[3].split()[0], 'default')}]{row[3]}[/]"
        table.add_row(*coloured)
    return table


def span(seconds: float) -> str:
    """Return an age in its largest unit: "5 h"."""
    for unit, length in (("w", 7 * 86400), ("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return "now" if seconds < 60 else "1 min"


def remove(store: RunStore, runs: list[StoredRun], sizes: list[int], yes: bool) -> int:
    """Remove runs after asking; return exit code 1 where one had to be kept."""
    from rich.filesize import decimal

    console = stderr()
    reasons = [store.kept(stored) for stored in runs]
    for stored, reason in zip(runs, reasons, strict=True):
        if reason is not None:
            say(console)(f"kept: {stored.path}: {reason}")
    going = [(stored, size) for stored, size, reason in zip(runs, sizes, reasons, strict=True) if reason is None]
    if not going:
        return 1
    freed = f"{counted(len(going), 'run')}, {decimal(sum(size for _, size in going))}"
    if not yes:
        if not sys.stdin.isatty():
            raise UserError("--rm asks before it removes: add --yes where nobody can answer")
        if not agreed(f"remove {freed}, for good?"):
            console.print("nothing was removed")
            return 0
    kept = len(runs) - len(going)
    for stored, _ in going:
        try:
            store.remove(stored)
        except UserError as error:
            kept += 1
            say(console)(str(error))
    console.print(f"removed: {len(runs) - kept} of {len(runs)}")
    return 1 if kept else 0


def prune(store: RunStore, runs: list[StoredRun], *, yes: bool, dry_run: bool) -> int:
    """Remove checkpoints that nothing needs, after saying which; return exit code 1 where a run had to be kept."""
    from rich.filesize import decimal

    console = stderr()
    found = api.superfluous_checkpoints(store, runs, say(console))
    for one in found:
        names = ", ".join(file.relative_to(one.run.path).as_posix() for file in one.files)
        print(printable(f"{one.run.path.relative_to(store.root).as_posix()}: {names}  {decimal(one.size)}"))
    files, size = sum(len(one.files) for one in found), decimal(sum(one.size for one in found))
    print(f"{counted(files, 'checkpoint')} of {counted(len(found), 'run')} not needed, {size}")
    if dry_run or not found:
        return 0
    if not yes and not sys.stdin.isatty():
        raise UserError("--prune asks before it removes: add --yes where nobody can answer")
    if not yes and not agreed(f"remove {counted(files, 'checkpoint')}, {size}, for good?"):
        console.print("nothing was removed")
        return 0
    code = 0
    for one in found:
        try:
            api.remove_checkpoints(store, one)
        except UserError as error:
            code = 1
            say(console)(str(error))
    return code


def agreed(question: str) -> bool:
    """Ask a question; anything but yes is no."""
    try:
        return stderr(asks=True).input(f"{question} [y/N] ", markup=False).strip().lower() in ("y", "yes")
    except EOFError:
        return False
