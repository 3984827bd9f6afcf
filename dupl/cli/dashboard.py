"""``dupl dashboard``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.cli.common import command, recipe_options, stderr
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.runs.store import RunStore

MOST = 20  # runs on a page, unless they are named


def add_dashboard(commands: Any) -> None:
    """Declare ``dupl dashboard``."""
    parser = command(
        commands,
        "dashboard",
        run_dashboard,
        "runs side by side: a workspace on wandb where an account is set up, else a page",
        "  dupl dashboard                                  runs/dashboard.html, or the workspace of project dupl\n"
        "  dupl dashboard runs/A runs/B --local            a page of two runs\n"
        "  dupl dashboard --local --plan demo_table4       a page of a plan's runs, named by row\n"
        "  dupl dashboard --plan table4_components         a workspace of a plan's runs, grouped by row\n"
        "  dupl dashboard --spec workspace.json            what would be sent to wandb, and nothing is\n",
    )
    parser.add_argument("runs", nargs="*", type=Path, help=f"run folders for the page; the {MOST} newest by default")
    parser.add_argument("--local", action="store_true", help="the page, also where an account is set up")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="the store; runs by default")
    parser.add_argument("--out", type=Path, help="the page's file; dashboard.html in the store by default")
    parser.add_argument("--entity", help="of the workspace: a user or a team; the account's own by default")
    parser.add_argument("--project", help="of the workspace; WANDB_PROJECT or dupl by default")
    parser.add_argument(
        "--plan", help="show this plan's runs: in the workspace grouped by row, on the page named by row"
    )
    parser.add_argument("--rows", nargs="+", metavar="KEY", help="of the plan, on the page; all by default")
    parser.add_argument(
        "--seeds", nargs="+", type=int, metavar="N", help="of the plan, on the page; its own by default"
    )
    recipe_options(parser)
    parser.add_argument("--spec", type=Path, metavar="FILE", help="write the workspace as JSON instead of sending it")


def run_dashboard(arguments: argparse.Namespace) -> int:
    """``dupl dashboard``."""
    import os

    from dupl.track import choice, workspace

    if not arguments.plan and (arguments.rows or arguments.seeds or arguments.set):
        raise UserError("--rows, --seeds and --set choose among the runs of a plan: add --plan")
    named = arguments.runs or arguments.out
    online = not arguments.local and not named and choice.account() is not None
    if arguments.spec is None and not online:
        if arguments.entity or arguments.project:
            raise UserError("--entity and --project are for a workspace: wandb login first, or give --spec")
        print(_page(arguments))
        return 0
    project = arguments.project or os.environ.get("WANDB_PROJECT") or choice.PROJECT
    if arguments.spec is not None:
        from dupl.atomic import atomic_write

        made = workspace.workspace(arguments.entity or "entity", project, arguments.plan)
        atomic_write(arguments.spec, json.dumps(workspace.specification(made), indent=2))
        print(arguments.spec)
        return 0
    if reason := choice.unreachable():
        raise UserError(f"wandb cannot be reached ({reason}): dupl dashboard --local writes a page")
    entity = arguments.entity or choice.entity()
    print(workspace.save(workspace.workspace(entity, project, arguments.plan)))
    return 0


def _page(arguments: argparse.Namespace) -> Path:
    from dupl.report.pages.dashboard import write
    from dupl.runs.store import RunStore
    from dupl.track.workspace import BOARDS

    folders, names = arguments.runs, None
    if arguments.plan:
        if folders:
            raise UserError("--plan names the runs: leave out their folders")
        names = _planned(arguments, RunStore(arguments.root))
        folders = list(names)
    elif not folders:
        found = sorted(RunStore(arguments.root).best(), key=lambda stored: stored.written, reverse=True)
        if len(found) > MOST:
            stderr().print(f"the {MOST} newest of {len(found)} runs; name others by their folders")
        folders = [stored.path for stored in found[:MOST]]
    out = arguments.out or arguments.root / "dashboard.html"
    return write(folders, [asdict(board) for board in BOARDS], out, names)


def _planned(arguments: argparse.Namespace, store: RunStore) -> dict[Path, tuple[str, int]]:
    """The folders of a plan's runs in its order, with row and seed."""
    from dupl.cli.report import train_line
    from dupl.config import overrides
    from dupl.plans.plan import load

    plan = load(arguments.plan)
    labels = {row.key: row.label for row in plan.rows}
    planned = plan.expand(arguments.rows, arguments.seeds, overrides.parse(arguments.set))
    there = {stored.fingerprint: stored.path for stored in store.best()}
    found: dict[Path, tuple[str, int]] = {}
    for run in planned:
        if run.fingerprint in there:
            found.setdefault(there[run.fingerprint], (labels[run.row], run.seed))
    line = train_line(arguments, arguments.plan)
    if not found:
        raise UserError(f"{store.root} has none of these runs of {arguments.plan}: {line} trains them")
    if missing := len({run.fingerprint for run in planned} - there.keys()):
        stderr().print(f"{missing} more of the plan were not begun: {line}", soft_wrap=True, markup=False)
    return found
