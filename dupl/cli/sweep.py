"""``dupl sweep``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dupl import api
from dupl.cli.ablate import run_plan
from dupl.cli.common import (
    command,
    json_option,
    print_json,
    progress_bar,
    recipe_options,
    say,
    stderr,
    tracking_options,
)
from dupl.cli.execution import check_execution, failure_options, resource_options, resources_of, rules_of
from dupl.cli.report import print_table
from dupl.errors import UserError

STORAGES = "sqlite:///FILE, postgresql://USER@HOST/DB, journal:FILE or grpc://HOST:PORT"


def add_sweep(commands: Any) -> None:
    """Declare ``dupl sweep``."""
    parser = command(
        commands,
        "sweep",
        run_sweep,
        "search for hyper-parameters: trials are runs of the store, and poor ones are stopped early",
        "  dupl sweep demo --dry-run                              what is searched, by which goal, on which data\n"
        "  dupl sweep demo --trials 20 --jobs 2\n"
        "  dupl sweep demo --continue                             after Ctrl-C, or from one more machine\n"
        "  dupl sweep dta_anf --gpus 0 1 2 3 --storage postgresql://user@host/sweeps\n"
        "  dupl sweep dta_anf --storage journal:/shared/sweep.log --continue\n"
        "  dupl sweep dta_anf --set data.train.root=DIR data.val.root=DIR\n"
        "  dupl sweep demo --confirm 3 --seeds 0 1 2    the best points and the paper's, on the report split\n",
    )
    parser.add_argument("sweep", help="a sweep that `dupl show --sweep` lists, or a file")
    parser.add_argument("--trials", type=int, metavar="N", help="total number of trials; default: that of the sweep")
    parser.add_argument(
        "--storage", metavar="URL", help=f"storage of the study: {STORAGES}; default: SQLite in the store"
    )
    parser.add_argument(
        "--continue",
        dest="resume",
        action="store_true",
        help="continue a study that has trials, or join another process at it",
    )
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done; do nothing")
    json_option(parser, "with --dry-run: print the search as JSON")
    recipe_options(parser)
    confirm = parser.add_argument_group("after the search, once")
    confirm.add_argument(
        "--confirm", type=int, metavar="K", help="train the best K points and the paper's, on the report split"
    )
    confirm.add_argument("--seeds", nargs="+", type=int, metavar="N", help="seeds of the confirmation; default: 0 1 2")
    tracking_options(parser, "track the trials, and the runs of a confirmation; by default")
    resource_options(parser)
    failure_options(parser)


def run_sweep(arguments: argparse.Namespace) -> int:
    """Run ``dupl sweep``."""
    check_execution(arguments)
    if arguments.trials and arguments.confirm:
        raise UserError("--confirm comes after the search and --trials belongs to it: give one of them")
    if arguments.seeds and arguments.confirm is None:
        raise UserError("--seeds belongs to --confirm: trials train with the recipe's own seed")
    if arguments.json and arguments.confirm:
        raise UserError("--json prints what a search would do, and --confirm comes after it: give one of them")
    if arguments.confirm is not None:
        return _confirm(arguments)
    study = dict(overrides=arguments.set, storage=arguments.storage, trials=arguments.trials)
    if arguments.json and not arguments.dry_run:
        raise UserError("--json prints what a search would do: add --dry-run")
    if arguments.json:
        print_json(api.search_facts(arguments.sweep, arguments.root, **study))
        return 0
    if arguments.dry_run:
        print("\n".join(api.preview_search(arguments.sweep, arguments.root, **study)))
        return 0
    more = dict(resume=arguments.resume, resources=resources_of(arguments), rules=rules_of(arguments))
    more["wandb"] = arguments.wandb
    search = api.open_search(arguments.sweep, arguments.root, **study, **more)
    console = stderr()
    say(console)(f"study {search.sweep.study} at {search.address}")
    with progress_bar("trials", console) as progress:
        stopped = search.run(lambda news: say(console)(str(news)), progress)
    print("\n".join(search.outcome()))
    search.check(stopped)
    return 0


def _confirm(arguments: argparse.Namespace) -> int:
    """Train the chosen points on the report split, by a plan that is written once, and print its table."""
    seeds, tell = arguments.seeds or [0, 1, 2], say(stderr())
    path, text, before = api.confirm_sweep(
        arguments.sweep,
        arguments.root,
        count=arguments.confirm,
        seeds=seeds,
        overrides=arguments.set,
        storage=arguments.storage,
        write=not arguments.dry_run,
    )
    if arguments.dry_run and not before:
        print(text, end="")
        return 0
    tell(f"continuing with the points of {path}, chosen before" if before else f"chosen points are written to {path}")
    options = dict(resources=resources_of(arguments), rules=rules_of(arguments), dry_run=arguments.dry_run)
    options["wandb"] = arguments.wandb
    code = run_plan(str(path), arguments.root, seeds=arguments.seeds, **options)
    return code if code or arguments.dry_run else print_table(str(path), arguments.root, seeds=arguments.seeds)
