"""Say what to do after a command: one line for each command, for a person at a terminal."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from dupl import api
from dupl.errors import UserError
from dupl.terminal import printable

Words = list[str]


def print_next(arguments: argparse.Namespace) -> None:
    """Print the next step on standard error, where a person reads it; files, pipes and other processes get nothing."""
    if not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0" or _silent(arguments):
        return
    if line := next_step(arguments):
        print(f"next: {printable(line)}", file=sys.stderr)


def _silent(arguments: argparse.Namespace) -> bool:
    """Return whether another program reads the output, or a person wants no more than the result."""
    return any(getattr(arguments, name, False) for name in ("json", "quiet"))


def next_step(arguments: argparse.Namespace) -> str:
    """Return what to do after a command that succeeded."""
    try:
        return STEPS[arguments.command](arguments) if arguments.command else ""
    except (UserError, OSError):  # the command was right; only the hint cannot be made
        return ""


def _command(*words: object) -> str:
    return shlex.join(["dupl", *map(str, words)])


def _sets(arguments: argparse.Namespace) -> Words:
    return ["--set", *arguments.set] if getattr(arguments, "set", None) else []


def _root(arguments: argparse.Namespace) -> Words:
    return ["--root", str(arguments.root)] if str(arguments.root) != "runs" else []


def _trained(arguments: argparse.Namespace) -> str:
    if getattr(arguments, "of_photos", False):
        return "dupl infer NEW_PHOTOS --out out, which takes this run as the newest"
    recipe = getattr(arguments, "recipe", "demo/toy")
    changes, _ = api.train_overrides(recipe, arguments.set, getattr(arguments, "iterations", None))
    folder = arguments.work_dir or api.default_folder(recipe, api.load_recipe(recipe, changes))
    return f"{_command('eval', folder)}, or {_command('report', folder)}"


def _evaluated(arguments: argparse.Namespace) -> str:
    run = arguments.run_or_recipe
    if arguments.masks is not None:
        return _command("report", "PLAN", "--masks", arguments.name, *_root(arguments))
    return _command("report", run) if api.is_run(run) else _command("infer", run, "PHOTOS", "--out", "out")


def _inferred(arguments: argparse.Namespace) -> str:
    if arguments.split and not arguments.voc_submission:
        folder = (arguments.out / "masks").absolute()
        return _command("train", "voc/supervised", "--set", f"data.train.masks={folder}")
    if arguments.voc_submission:
        return f"upload {arguments.out / 'results.tgz'} to the test server"
    return f"open {arguments.out / 'index.html'}"


def _shown(arguments: argparse.Namespace) -> str:
    if getattr(arguments, "recipe", None):
        name = arguments.recipe
        return _command("report", name) if api.is_run(name) else _command("train", name, *_sets(arguments))
    return "dupl show NAME, or dupl train NAME"


def _data(arguments: argparse.Namespace) -> str:
    if dataset := getattr(arguments, "dataset", None):
        if arguments.dry_run:
            return f"{_command('data', 'prepare', dataset, '--root', arguments.root)}"
        recipe = "coco/dupl" if dataset == "coco" else "voc/dupl"
        places = [f"data.{part}.root={arguments.root}" for part in ("train", "val")]
        return _command("data", "check", recipe, "--set", *places)
    return _command("train", arguments.recipe, *_sets(arguments))


def _ablated(arguments: argparse.Namespace) -> str:
    if arguments.dry_run:
        return _command("ablate", *arguments.plans, *_root(arguments), *_sets(arguments))
    report = _command("report", arguments.plans[0], *_root(arguments), *_sets(arguments))
    return f"{report}, or {_command('board', '--open', *_root(arguments))}"


def _searched(arguments: argparse.Namespace) -> str:
    own = [arguments.sweep, *_root(arguments), *_sets(arguments)]
    if arguments.dry_run:
        return _command("sweep", *own)
    report = _command("report", *own)
    return report if arguments.confirm is not None else f"{report}, or {_command('sweep', *own, '--confirm', 3)}"


def _reported(arguments: argparse.Namespace) -> str:
    if api.is_run(arguments.what):
        return _command(
            "board", *([] if Path(arguments.what).parent == Path("runs") else ["--root", Path(arguments.what).parent])
        )
    if arguments.out is not None:
        return f"open {arguments.out}"
    if not api.is_sweep(arguments.what) and any(
        c.metric.endswith("/OA") for c in api.load_plan(arguments.what).columns
    ):
        return _command("figure", "7a", arguments.what, *_root(arguments), *_sets(arguments))
    name = Path(arguments.what).stem
    return _command("report", arguments.what, *_root(arguments), *_sets(arguments), "--out", f"{name}.html")


def _doctored(arguments: argparse.Namespace) -> str:
    return _command("train", arguments.recipe) if arguments.recipe else "dupl demo, or dupl doctor RECIPE"


STEPS: dict[str, Callable[[argparse.Namespace], str]] = {
    "demo": _trained,
    "train": _trained,
    "eval": _evaluated,
    "infer": _inferred,
    "show": _shown,
    "new": lambda arguments: _command("data", "check", f"{arguments.name.removesuffix('.py')}.py"),
    "data": _data,
    "ablate": _ablated,
    "sweep": _searched,
    "runs": lambda arguments: "dupl report RUN, or dupl board",
    "reproduce": lambda arguments: _command("report", arguments.out or arguments.folder),
    "explain": lambda arguments: _command("ablate", arguments.out) if arguments.out else "add --out settle.py",
    "report": _reported,
    "power": lambda arguments: _command("ablate", arguments.plan or "PLAN", "--dry-run"),
    "export": lambda arguments: _command("verify", arguments.out),
    "verify": lambda arguments: "dupl reproduce RUN, which trains one of its runs again",
    "figure": lambda arguments: f"open {arguments.out or f'fig{arguments.number}.pdf'}",
    "compare": lambda arguments: f"open {arguments.out}",
    "board": lambda arguments: f"open {arguments.static}" if arguments.static else "",
    "dashboard": lambda arguments: "dupl report RUN for the page of one run",
    "sync": lambda arguments: "dupl dashboard for a workspace of the runs",
    "doctor": _doctored,
    "completion": lambda arguments: "",
}
