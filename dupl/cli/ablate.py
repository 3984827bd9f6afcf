"""``dupl ablate``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl import api
from dupl.cli.common import command, json_option, print_json, recipe_options, say, stderr, tracking_options
from dupl.cli.execution import check_execution, failure_options, resource_options, resources_of, rules_of
from dupl.cli.power import spread_option
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.api import Resources, Rules


def add_ablate(commands: Any) -> None:
    """Declare ``dupl ablate``."""
    parser = command(
        commands,
        "ablate",
        run_ablate,
        "run a plan: every row with every seed; what is finished is skipped, what was interrupted is continued",
        "  dupl ablate demo_table4 --dry-run                      what would run, what is done, the time remaining\n"
        "  dupl ablate demo_table4 --dry-run --spread 1.8,0.9     and which differences its table could show\n"
        "  dupl ablate demo_table4 --seeds 0 1 2 --jobs 2         two at once on this machine, each on its cores\n"
        "  dupl ablate demo_table4 demo_table5b --jobs 2          one after the other; runs of both share beginnings\n"
        "  dupl ablate table4_components --gpus 0 1 2 3           one run on each GPU\n"
        "  dupl ablate table4_components --gpus 0 1 2 3 --gpus-per-run 2\n"
        "  dupl ablate demo_table4 --gpus 0 --runs-per-gpu 4      four small runs at once on one GPU\n"
        "  dupl ablate table4_components --rows full --set schedule.images_per_loss=4\n"
        "  dupl ablate table4_components --executor ray --address ray://head:10001\n"
        "  dupl ablate table4_components --executor slurm --slurm slurm_partition=gpu timeout_min=600\n",
    )
    parser.add_argument(
        "plans",
        nargs="+",
        metavar="PLAN",
        help="plans that `dupl show --plan` lists, or files, run in this order; beginnings are shared across them",
    )
    parser.add_argument("--rows", nargs="+", metavar="KEY", help="keys of the rows to run; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="seeds to run; default: the plan's")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="folder of the store; default: runs")
    parser.add_argument("--dry-run", action="store_true", help="print every run and the time remaining; run nothing")
    parser.add_argument(
        "--no-share",
        action="store_true",
        help="train every run from its first iteration, also where it shares the beginning with another one",
    )
    spread_option(parser)
    json_option(parser, "with --dry-run: print every run as JSON")
    recipe_options(parser)
    tracking_options(parser, "track the runs, and log the finished table on wandb; by default")
    resource_options(parser, clusters=True)
    failure_options(parser)


def run_ablate(arguments: argparse.Namespace) -> int:
    """Run ``dupl ablate``."""
    check_execution(arguments)
    if arguments.json and not arguments.dry_run:
        raise UserError("--json lists what --dry-run would do: add --dry-run")
    if arguments.spread is not None and (arguments.json or not arguments.dry_run):
        raise UserError("--spread belongs to --dry-run, without --json; dupl power PLAN --json forecasts too")
    plans = arguments.plans
    if len(plans) > 1 and (arguments.rows or arguments.json):
        option = "--rows names rows" if arguments.rows else "--json lists the runs"
        raise UserError(f"{option} of one plan: name one plan, not {len(plans)}")
    for number, plan in enumerate(plans):
        run_plan(
            plan,
            arguments.root,
            rows=arguments.rows,
            seeds=arguments.seeds,
            overrides=arguments.set,
            resources=resources_of(arguments),
            rules=rules_of(arguments),
            wandb=arguments.wandb,
            dry_run=arguments.dry_run,
            as_json=arguments.json,
            spread=arguments.spread,
            share=not arguments.no_share,
            before=plans[:number] if arguments.dry_run else (),
            after=plans[number + 1 :],
        )
    return 0


def run_plan(
    plan: str,
    root: Path,
    *,
    resources: Resources,
    rules: Rules,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Sequence[str] = (),
    wandb: Any = None,
    dry_run: bool = False,
    as_json: bool = False,
    spread: str | None = None,
    share: bool = True,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> int:
    """Run what a store lacks of a plan and print how it ended; or print what is left to do."""
    from dupl.cli.live_table import LiveTable

    console, store = stderr(), api.RunStore(root)
    ablation = api.prepare_ablation(
        plan,
        store,
        rows=rows,
        seeds=seeds,
        overrides=overrides,
        resources=resources,
        wandb=wandb,
        dry_run=dry_run,
        share=share,
        before=before,
        after=after,
    )
    for path, reason in store.skipped:
        say(console)(f"skipped {path}: {reason}")
    if as_json:
        print_json(api.preview_facts(ablation))
        return 0
    if dry_run:
        *lines, remaining = api.preview_ablation(ablation)
        print("\n".join([*lines, *api.preview_power(ablation, overrides, spread), remaining]))
        return 0
    with LiveTable(console) as table:
        outcome = ablation.run(rules, table)
    print("\n".join(outcome.lines()))
    outcome.check()
    if not rows:
        api.put_finished_table(
            plan, root, seeds=seeds, overrides=overrides, wandb=wandb, began=outcome.began, tell=say(console)
        )
    return 0
