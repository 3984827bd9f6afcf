"""``dupl reproduce``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl import api
from dupl.cli.common import command, json_option, print_json, recipe_options, stderr
from dupl.errors import RunError, UserError
from dupl.terminal import printable

if TYPE_CHECKING:
    from dupl.api import Check

WORDS = {True: "same", False: "DIFFERS", None: "unknown"}


def add_reproduce(commands: Any) -> None:
    """Declare ``dupl reproduce``."""
    parser = command(
        commands,
        "reproduce",
        run_reproduce,
        "make a run again from its folder: what is the same here (config, code, packages, data), and the command",
        "  dupl reproduce runs/RUN                         what differs here, and the command\n"
        "  dupl reproduce runs/RUN --check                 what differs; exit code 1 where anything does\n"
        "  dupl reproduce runs/RUN --out runs/again        train it again there, and compare every scalar\n"
        "  dupl reproduce runs/RUN --set data.train.root=/data/VOC2012 data.val.root=/data/VOC2012\n",
    )
    parser.add_argument("folder", metavar="RUN", type=Path, help="the run's folder")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="train it again in this folder; a repeated command continues"
    )
    parser.add_argument("--check", action="store_true", help="only print what differs; exit code 1 where anything does")
    json_option(parser, "print what differs and the command as JSON; train nothing")
    recipe_options(parser)


def run_reproduce(arguments: argparse.Namespace) -> int:
    """Run ``dupl reproduce``."""
    folder = arguments.folder
    if arguments.check and arguments.out is not None:
        raise UserError("--check only looks, and --out trains: choose one")
    out = arguments.out or Path(f"{folder}-again")
    if out.resolve() == folder.resolve():
        raise UserError(f"--out {out} is the run itself: choose another folder")
    if arguments.json and arguments.out is not None:
        raise UserError("--json only looks, and --out trains: choose one")
    status, found = api.run_status(folder), api.compare_run(folder, arguments.set)
    if arguments.json:
        words = api.reproduce_command(folder, out, arguments.set)
        print_json({"run": folder, "state": status.state, "checks": [asdict(one) for one in found], "command": words})
        return 1 if arguments.check and any(check.same is False for check in found) else 0
    where = status.machine or status.host
    print(printable(f"run        {folder}, {status.state} at iteration {status.iteration}, on {where}"))
    _print(found)
    if arguments.check:
        return 1 if any(check.same is False for check in found) else 0
    print(printable(f"command    {shlex.join(api.reproduce_command(folder, out, arguments.set))}"))
    if arguments.out is None:
        return 0
    again = api.reproduce_run(folder, out, arguments.set, console=stderr())
    _print(again)
    if any(check.same is False for check in again):
        raise RunError(
            f"{out} differs from {folder}; on one machine and the same code it would not, bit for bit on CPUs"
        )
    return 0


def _print(found: Sequence[Check]) -> None:
    for check in found:
        advice = f"  ({check.advice})" if check.advice else ""
        print(printable(f"{WORDS[check.same]:9}  {check.what}: {check.told}{advice}"))
