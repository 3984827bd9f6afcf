"""What ``dupl`` without arguments says: what to try next in this folder."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dupl import api
from dupl.cli.common import tally
from dupl.errors import UserError
from dupl.terminal import counted, printable

if TYPE_CHECKING:
    from dupl.api import RunStore, StoredRun

MOST = 3  # unfinished runs, and plans, that are named
WIDTH = 46  # of a command, before what it does
Advice = tuple[str, str]  # a command, and what it does


def what_next(root: str | Path = "runs") -> list[str]:
    """Return what to try next, as lines: from the runs and recipes of this folder, or where to begin.

    Args:
        root: The store.
    """
    store = api.RunStore(root)
    runs = store.runs()
    found = [*_unfinished(runs), *_plans(store, runs), *_finished(runs), *_recipes()]
    if runs:
        head = f"{root}/ holds {counted(len(runs), 'run')}: {tally(run.state for run in runs)}"
    else:
        head = "dupl trains segmentation models from image-level tags. There is no run in this folder yet."
        found = [*_recipes(), *BEGIN]
    return [printable(line) for line in (head, "", *map(_line, found), "", "dupl --help lists all commands")]


BEGIN: list[Advice] = [
    ("dupl demo", "everything at once on synthetic scenes, about 5 minutes on two CPU cores"),
    ("dupl show", "the recipes; dupl show --plan lists the tables of the paper"),
    ("dupl train photos/ --tags tags.csv", "photos of your own: a model and a page of masks"),
    ("dupl doctor", "what this machine has and lacks"),
]


def _unfinished(runs: Sequence[StoredRun]) -> list[Advice]:
    """Return how to continue runs that stopped, the newest first."""
    stopped = sorted((run for run in runs if run.state in ("interrupted", "failed")), key=lambda run: -run.written)
    return [_continue(run) for run in stopped[:MOST]]


def _continue(run: StoredRun) -> Advice:
    """Return how to continue one run: by its own command, or by its config where that is not known."""
    words, status = list(run.status.command), run.status
    at = f"{run.state} at iteration {status.iteration} of {status.iterations or '?'}"
    if len(words) > 1 and Path(words[0]).name in ("dupl", "__main__.py") and words[1] in ("train", "demo"):
        words = ["dupl", *words[1:]]
    else:
        words = ["dupl", "train", str(run.run.config_path), "--work-dir", str(run.path)]
    words += ["--resume"] if "--resume" not in words else []
    return shlex.join(words), f"{run.path.name}: {at}"


def _plans(store: RunStore, runs: Sequence[StoredRun]) -> list[Advice]:
    """Return how to go on with the plans that asked for runs of the store."""
    states: dict[str, Counter[str]] = {}
    for run in runs:
        for plan in {plan for plan, _ in api.planned_rows(store, run)}:
            states.setdefault(plan, Counter())[run.state] += 1
    root = ["--root", str(store.root)] if str(store.root) != "runs" else []
    advice = []
    for plan, counts in list(states.items())[:MOST]:
        done, total = counts["finished"], max(sum(counts.values()), _planned(plan))
        if done == total:
            advice.append((shlex.join(["dupl", "report", plan, *root]), f"the table: {counted(done, 'run')} finished"))
        else:
            what = f"continues: {done} of {counted(total, 'run')} finished"
            advice.append((shlex.join(["dupl", "ablate", plan, *root]), what))
    return advice


def _planned(plan: str) -> int:
    """Return how many runs a plan has; 0 where its file is not found by its name."""
    try:
        made = api.load_plan(plan)
    except (UserError, OSError):
        return 0
    return len(made.trained) * len(made.seeds)


def _finished(runs: Sequence[StoredRun]) -> list[Advice]:
    """Return what to do with the newest finished run."""
    trained = (run for run in runs if run.state == "finished" and run.status.iteration)  # label maps are none
    finished = max(trained, key=lambda run: run.written, default=None)
    if finished is None:
        return []
    path = str(finished.path)
    return [
        (shlex.join(["dupl", "report", path]), "writes the page of the newest finished run"),
        ("dupl runs", "lists all runs with their metric"),
    ]


def _recipes() -> list[Advice]:
    """Return how to train the recipes that lie in this folder."""
    found = []
    for file in sorted(Path().glob("*.py"))[:20]:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if "_base_" in text and ("data = " in text or "model = " in text or "schedule = " in text):
            found.append((shlex.join(["dupl", "train", file.name]), "trains the recipe in this folder"))
    return found[:MOST]


def _line(advice: Advice) -> str:
    command, what = advice
    return f"  {command:{WIDTH}}  {what}" if len(command) <= WIDTH else f"  {command}\n  {'':{WIDTH}}  {what}"
