"""``dupl dashboard``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import command, recipe_options, say, stderr
from dupl.errors import UserError


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
    parser.add_argument("runs", nargs="*", type=Path, help="folders of the runs for the page; default: the newest")
    parser.add_argument("--local", action="store_true", help="write the page even where an account is set up")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    parser.add_argument("--out", type=Path, help="file of the page; default: dashboard.html in the store")
    parser.add_argument("--entity", help="user or team of the workspace; default: that of the account")
    parser.add_argument("--project", help="project of the workspace; default: WANDB_PROJECT or dupl")
    parser.add_argument(
        "--plan", help="show this plan's runs: in the workspace grouped by row, on the page named by row"
    )
    parser.add_argument("--rows", nargs="+", metavar="KEY", help="keys of the plan's rows on the page; default: all")
    parser.add_argument(
        "--seeds", nargs="+", type=int, metavar="N", help="seeds of the plan on the page; default: its own"
    )
    recipe_options(parser)
    parser.add_argument("--spec", type=Path, metavar="FILE", help="write the workspace as JSON instead of sending it")


def run_dashboard(arguments: argparse.Namespace) -> int:
    """Run ``dupl dashboard``."""
    if not arguments.plan and (arguments.rows or arguments.seeds or arguments.set):
        raise UserError("--rows, --seeds and --set choose among the runs of a plan: add --plan")
    page = arguments.local or arguments.runs or arguments.out or api.wandb_account() is None
    if arguments.spec is None and page:
        print(_page(arguments))
        return 0
    print(api.workspace(arguments.plan, entity=arguments.entity, project=arguments.project, out=arguments.spec))
    return 0


def _page(arguments: argparse.Namespace) -> Path:
    if arguments.entity or arguments.project:
        raise UserError("--entity and --project are for a workspace: wandb login first, or give --spec")
    if arguments.plan and arguments.runs:
        raise UserError("--plan names the runs: leave out their folders")
    return api.dashboard(
        arguments.runs,
        arguments.root,
        plan=arguments.plan,
        rows=arguments.rows,
        seeds=arguments.seeds,
        overrides=arguments.set or None,
        out=arguments.out,
        tell=say(stderr()),
    )
