"""``dupl sync``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.common import command, json_option, print_json, say, stderr
from dupl.errors import UserError


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
    parser.add_argument("folders", nargs="*", type=Path, help="runs, or folders that hold runs; default: runs")
    parser.add_argument("--dry-run", action="store_true", help="list what would be uploaded; upload nothing")
    json_option(parser, "with --dry-run: print the list as JSON")


def run_sync(arguments: argparse.Namespace) -> int:
    """Run ``dupl sync``."""
    tell = say(stderr())
    waiting, working = api.find_uploads(arguments.folders or ["runs"])
    for name, path in working.items():
        tell(f"{name} is still training, not uploaded: {path}")
    if arguments.json:
        if not arguments.dry_run:
            raise UserError("--json lists what --dry-run would upload: add --dry-run")
        parts = [(name, part) for name, found in waiting.items() for part in found]
        print_json([{"run": name, "id": part.id, "path": part.path} for name, part in parts])
        return 0
    if not waiting:
        print("nothing to upload")
        return 0
    if arguments.dry_run:
        for part in (part for parts in waiting.values() for part in parts):
            print(f"{part.id}  {part.path}")
        return 0

    def end(name: str, reason: str | None) -> None:
        if reason:
            tell(f"not uploaded: {reason}")
        else:
            print(f"{name}  {waiting[name][0].path}")

    api.upload(waiting, lambda number, name: tell(f"{number}/{len(waiting)}  {waiting[name][0].path}"), end)
    return 0
