"""``dupl reproduce``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.cli.common import command, recipe_options, resolved, stderr
from dupl.errors import RunError, UserError
from dupl.terminal import printable

if TYPE_CHECKING:
    from dupl.runs.reproduce import Check
    from dupl.runs.run import Run


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
    parser.add_argument("--out", type=Path, metavar="DIR", help="train it again in this folder; repeated, it goes on")
    parser.add_argument("--check", action="store_true", help="only say what differs")
    recipe_options(parser)


def run_reproduce(arguments: argparse.Namespace) -> int:
    """``dupl reproduce``."""
    from dupl.runs import reproduce
    from dupl.runs.run import Run

    if arguments.check and arguments.out is not None:
        raise UserError("--check only looks, and --out trains: choose one")
    run = Run(arguments.folder)
    status = run.status
    out = arguments.out or Path(f"{run.path}-again")
    if out.resolve() == run.path.resolve():
        raise UserError(f"--out {out} is the run itself: choose another folder")

    config = resolved(run.config_path, arguments.set)

    from dupl.engine.data_digest import digests

    found = reproduce.checks(run, config, digests(config))
    where = status.machine or status.host
    print(printable(f"run        {run.path}, {status.state} at iteration {status.iteration}, on {where}"))
    _tell(found)
    different = [check.what for check in found if check.same is False]
    if arguments.check:
        return 1 if different else 0
    words = reproduce.command(run, run.config_path, out)
    if arguments.set:
        words += ["--set", *arguments.set]
    print(printable(f"command    {shlex.join(words)}"))
    return 0 if arguments.out is None else _again(run, config, out, words)


def _again(run: Run, config: Any, out: Path, words: Sequence[str]) -> int:
    """Train a run again and compare."""
    from dupl.config.fingerprint import fingerprint
    from dupl.engine.training.train import train
    from dupl.runs import reproduce
    from dupl.runs.run import Run

    if words[0] == "torchrun":
        raise UserError("the run took several processes: start the command above, then repeat this one to compare")
    other = Run(out)
    finished = other.exists() and other.status.state == "finished" and other.status.fingerprint == fingerprint(config)
    if not finished:
        train(config, out, resume=True, command=words, console=stderr())
    found = reproduce.compare(run, other)
    _tell(found)
    if any(check.same is False for check in found):
        raise RunError(
            f"{out} differs from {run.path}; on one machine and the same code it would not, bit for bit on CPUs"
        )
    return 0


def _tell(found: Sequence[Check]) -> None:
    words = {True: "same", False: "DIFFERS", None: "unknown"}
    for check in found:
        advice = f"  ({check.advice})" if check.advice else ""
        print(printable(f"{words[check.same]:9}  {check.what}: {check.told}{advice}"))
