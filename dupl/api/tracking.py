"""Runs beside each other: a page, a workspace on Weights & Biases, and the upload of what was recorded offline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.api.execution import prepare_ablation
from dupl.api.inference import AnyRun, folder_of
from dupl.api.planned import choose_runs
from dupl.api.recipes import Overrides
from dupl.api.sweeps import sweep_report
from dupl.api.tables import AnyPlan, AnyStore, ablation_table, load_plan, open_store
from dupl.errors import RunError, UserError
from dupl.terminal import counted

if TYPE_CHECKING:
    from dupl.execute.ablation import Ablation
    from dupl.track.sync import Upload

MOST = 20  # runs on a page, unless they are named


def write_board(
    runs: Sequence[AnyRun] = (),
    store: AnyStore = "runs",
    *,
    plan: AnyPlan | None = None,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
    out: str | Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Write a page of runs side by side; it needs no network.

    Args:
        runs: Which; by default the 20 newest of the store.
        store: A store or its folder.
        plan: Show the runs of this plan instead, named by row and seed.
        rows: Keys of its rows; all by default.
        seeds: By default the plan's.
        overrides: Values by path with which the plan's runs were trained.
        out: The file; by default ``board.html`` in the store.
        tell: Called with a line about what the page leaves out.

    Returns:
        The file.

    Raises:
        UserError: There are no runs, or a folder holds none.

    Example:
        >>> dupl.api.write_board(store="runs", plan="plan.py", out="board.html").name
        'board.html'
    """
    from dataclasses import asdict

    from dupl.report.pages.dashboard import write
    from dupl.track.workspace import BOARDS

    opened, folders, names = open_store(store), [folder_of(run) for run in runs], None
    tell = tell or (lambda line: None)
    if plan is not None:
        names = _planned(opened, plan, rows, seeds, overrides, tell)
        folders = list(names)
    elif not folders:
        found = sorted(opened.best(), key=lambda stored: stored.written, reverse=True)
        if len(found) > MOST:
            tell(f"the {MOST} newest of {len(found)} runs; name others by their folders")
        folders = [stored.path for stored in found[:MOST]]
    file = Path(out) if out is not None else Path(opened.root) / "board.html"
    return write(folders, [asdict(board) for board in BOARDS], file, names)


def serve_board(store: AnyStore = "runs", *, port: int = 0, begun: Callable[[str], None] = print) -> None:
    """Serve a store as web pages of this machine until Ctrl-C; the pages follow the runs while they train.

    Args:
        store: A store or its folder.
        port: The port of 127.0.0.1; 0 takes a free one.
        begun: Called with the address to open, which holds a secret.

    Raises:
        UserError: There is no such folder, the packages of the extra ``board`` are missing, or the port is taken.

    Example:
        >>> dupl.api.serve_board("nowhere")
        Traceback (most recent call last):
        dupl.errors.UserError: there is no store nowhere: ...
    """
    from dupl.board.board import Sources
    from dupl.board.serve import serve

    opened = open_store(store)
    if not opened.root.is_dir():
        raise UserError(f"there is no store {opened.root}: train a run first, or name the store (--root)")

    def plan(name: str, tell: Callable[[str], None]) -> Ablation:
        chosen = choose_runs(load_plan(name), opened, tell=tell)
        return prepare_ablation(name, opened, seeds=chosen.seeds, overrides=chosen.overrides, dry_run=True)

    sources = Sources(
        plan=plan,
        table=lambda name, tell: ablation_table(name, opened, tell=tell),
        sweep=lambda name, tell: sweep_report(name, opened, tell=tell),
    )
    serve(opened, sources, port, begun)


def _planned(
    store: Any, plan: AnyPlan, rows: Any, seeds: Any, overrides: Overrides, tell: Callable[[str], None]
) -> dict[Path, tuple[str, int]]:
    """Return the folders of a plan's runs in its order, with row and seed."""
    from dupl.plans.commands import ablate_command

    made = load_plan(plan)
    labels = {row.key: row.label for row in made.rows}
    chosen = choose_runs(made, store, rows, seeds, overrides, tell=tell)
    planned, seeds, overrides = chosen.runs, chosen.seeds, chosen.overrides
    there = {stored.fingerprint: stored.path for stored in store.best()}
    found: dict[Path, tuple[str, int]] = {}
    for run in planned:
        if run.fingerprint in there:
            found.setdefault(there[run.fingerprint], (labels[run.row], run.seed))
    name = str(plan) if isinstance(plan, (str, Path)) else made.name
    line = ablate_command(name, store.root, rows=rows, seeds=seeds, overrides=overrides)
    if not found:
        raise UserError(f"{store.root} has none of these runs of {name}: {line} trains them")
    if missing := len({run.fingerprint for run in planned} - there.keys()):
        tell(f"{missing} more of the plan were not begun: {line}")
    return found


def wandb_account() -> str | None:
    """Return where an account of Weights & Biases is set up; None where there is none.

    Example:
        >>> dupl.api.wandb_account()  # nothing is asked of the server
    """
    from dupl.track import choice

    return choice.account()


def workspace(
    plan: str | None = None, *, entity: str | None = None, project: str | None = None, out: str | Path | None = None
) -> str:
    """Make a workspace on Weights & Biases that shows runs side by side, or write what would be sent.

    Args:
        plan: Show this plan's runs, grouped by row.
        entity: A user or a team; by default the account's own.
        project: By default WANDB_PROJECT or "dupl".
        out: Write the specification of the workspace into this file as JSON, and send nothing.

    Returns:
        The address of the workspace, or the file.

    Raises:
        UserError: wandb cannot be reached, or does not say whose account this is.

    Example:
        >>> dupl.api.workspace("demo_table4", out="workspace.json")
        'workspace.json'
    """
    from dupl.track import choice
    from dupl.track import workspace as boards

    project = project or os.environ.get("WANDB_PROJECT") or choice.PROJECT
    if out is not None:
        from dupl.atomic import atomic_write

        made = boards.workspace(entity or "entity", project, plan)
        atomic_write(Path(out), json.dumps(boards.specification(made), indent=2))
        return str(out)
    if reason := choice.unreachable():
        raise UserError(f"wandb cannot be reached ({reason}): dupl board shows the runs without it")
    return boards.save(boards.workspace(entity or choice.entity(), project, plan))


def find_uploads(folders: Sequence[str | Path] = ("runs",)) -> tuple[dict[str, list[Upload]], dict[str, Path]]:
    """Find what wandb recorded offline, or did not upload to its end.

    Args:
        folders: Runs, or folders that hold runs.

    Returns:
        The parts to upload by run id, in order; and by run id the folders of runs that are still training, which are
        left alone.

    Raises:
        UserError: There is no such folder.

    Example:
        >>> dupl.api.find_uploads(["runs"])
        ({}, {})
    """
    from dupl.track import sync

    found = [part for part in sync.find([Path(folder) for folder in folders]) if not part.done]
    working = {part.id: part.path for part in found if part.busy}
    waiting: dict[str, list[Upload]] = {}
    for part in found:
        if part.id not in working:
            waiting.setdefault(part.id, []).append(part)
    return waiting, working


def upload(
    waiting: dict[str, list[Upload]],
    begin: Callable[[int, str], None] | None = None,
    end: Callable[[str, str | None], None] | None = None,
) -> None:
    """Upload what `find_uploads` found, run by run.

    Args:
        waiting: Its first answer.
        begin: Called with the number, from 1 on, and the id of each run before its upload.
        end: Called with the id afterwards, and with why the upload failed or None.

    Raises:
        UserError: No account is set up.
        RunError: wandb cannot be reached, or some runs were not uploaded.

    Example:
        >>> dupl.api.upload({})
    """
    from dupl.track import choice, sync

    if not waiting:
        return
    if choice.account() is None:
        raise UserError("no wandb account is set up: wandb login, or WANDB_API_KEY=...")
    if reason := choice.unreachable():
        raise RunError(f"wandb cannot be reached, nothing was uploaded: {reason}")
    failed = 0
    for number, (name, parts) in enumerate(waiting.items(), 1):
        if begin is not None:
            begin(number, name)
        reason = sync.upload(parts)
        failed += reason is not None
        if end is not None:
            end(name, reason)
    if failed:
        raise RunError(
            f"{failed} of {counted(len(waiting), 'run')} were not uploaded: repeat dupl sync, which uploads the rest"
        )
