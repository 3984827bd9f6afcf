"""``dupl dashboard``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import command
from dupl.errors import UserError

REMOVED = ("runs", "local", "root", "out", "rows", "seeds", "set")  # options of the page, which dupl board makes


def add_dashboard(commands: Any) -> None:
    """Declare ``dupl dashboard``."""
    parser = command(
        commands,
        "dashboard",
        run_dashboard,
        "make a workspace on wandb that shows runs side by side; dupl board shows them on this machine",
        "  dupl dashboard                             the workspace of project dupl, of all its runs\n"
        "  dupl dashboard --plan table4_components    of a plan's runs, grouped by row\n"
        "  dupl dashboard --spec workspace.json       what would be sent to wandb, and nothing is\n",
    )
    parser.add_argument("runs", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--entity", help="user or team of the workspace; default: that of the account")
    parser.add_argument("--project", help="project of the workspace; default: WANDB_PROJECT or dupl")
    parser.add_argument("--plan", help="show this plan's runs, grouped by row")
    parser.add_argument("--spec", type=Path, metavar="FILE", help="write the workspace as JSON instead of sending it")
    parser.add_argument("--local", action="store_true", help=argparse.SUPPRESS)
    for name in ("--root", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    for name in ("--rows", "--seeds", "--set"):
        parser.add_argument(name, nargs="+", help=argparse.SUPPRESS)


def run_dashboard(arguments: argparse.Namespace) -> int:
    """Run ``dupl dashboard``."""
    if removed := [name for name in REMOVED if getattr(arguments, name)]:
        named = "folders of runs" if removed[0] == "runs" else f"--{removed[0]}"
        raise UserError(f"dupl dashboard makes a workspace on wandb; {named} is for the page: dupl board --static FILE")
    if arguments.spec is None and api.wandb_account() is None:
        raise UserError("no wandb account is set up: wandb login; or --spec FILE, or dupl board without an account")
    print(api.workspace(arguments.plan, entity=arguments.entity, project=arguments.project, out=arguments.spec))
    return 0
