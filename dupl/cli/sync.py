"""``dupl sync``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl.cli.common import command, stderr
from dupl.errors import RunError, UserError


def add_sync(commands: Any) -> None:
    """Declare ``dupl sync``."""
    parser = command(
        commands,
        "sync",
        run_sync,
        "upload runs that wandb recorded offline, or whose upload did not end",
        "  dupl sync                        all runs below runs/\n"
        "  dupl sync runs/RUN               one run\n"
        "  dupl sync --dry-run              only list what there is\n",
    )
    parser.add_argument("folders", nargs="*", type=Path, help="runs, or folders that hold runs; runs by default")
    parser.add_argument("--dry-run", action="store_true", help="list what would be uploaded")


def run_sync(arguments: argparse.Namespace) -> int:
    """``dupl sync``."""
    from dupl.track import choice, sync

    waiting: dict[str, list[sync.Upload]] = {}
    console, failed = stderr(), {}
    found = [s for s in sync.find(arguments.folders or [Path("runs")]) if not s.done]
    working = {s.id: s.path for s in found if s.busy}
    for name, path in working.items():
        console.print(f"{name} is still at work, not uploaded: {path}", soft_wrap=True)
    for stretch in found:
        if stretch.id not in working:
            waiting.setdefault(stretch.id, []).append(stretch)
    if not waiting:
        print("nothing to upload")
        return 0
    if arguments.dry_run:
        for stretch in (s for stretches in waiting.values() for s in stretches):
            print(f"{stretch.id}  {stretch.path}")
        return 0
    if choice.account() is None:
        raise UserError("no wandb account is set up: wandb login, or WANDB_API_KEY=...")
    if reason := choice.unreachable():
        raise RunError(f"wandb cannot be reached, nothing was uploaded: {reason}")
    for number, (name, stretches) in enumerate(waiting.items(), 1):
        console.print(f"{number}/{len(waiting)}  {stretches[0].path}", soft_wrap=True)
        if reason := sync.upload(stretches):
            failed[name] = reason
            console.print(f"not uploaded: {reason}", soft_wrap=True, markup=False)
        else:
            print(f"{name}  {stretches[0].path}")
    if failed:
        raise RunError(f"{len(failed)} of {len(waiting)} runs were not uploaded: repeat dupl sync, it does the rest")
    return 0
