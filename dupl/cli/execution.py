"""The options of commands that start many runs: where, how many at once, and what happens when one fails."""

from __future__ import annotations

import argparse
import ast
from typing import TYPE_CHECKING, Any

from dupl import api
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.api import Resources, Rules

GPUS_PER_RUN = (
    "GPUs of one run, trained by torchrun; by default as many as schedule.per_gpu makes the recipe's batch of, or 1"
)
LEAST = {"trials": 1, "jobs": 1, "confirm": 1, "gpus_per_run": 0, "cpus_per_run": 1, "retries": 0, "max_failed": 0}
CLUSTERS = {"address": "ray", "cluster": "slurm", "slurm": "slurm"}  # options by the executor that they belong to


def resource_options(parser: argparse.ArgumentParser, clusters: bool = False) -> None:
    """Add where runs are executed; ``clusters`` adds Ray and Slurm."""
    place = parser.add_argument_group("where")
    if clusters:
        place.add_argument("--executor", choices=["local", "ray", "slurm"], default="local", help="local by default")
    place.add_argument("--jobs", type=int, metavar="N", help="runs at once; one per GPU (group) or machine by default")
    place.add_argument("--gpus", nargs="+", metavar="ID", help="which GPUs, or none; all that are visible by default")
    place.add_argument("--gpus-per-run", type=int, metavar="N", help=GPUS_PER_RUN)
    if clusters:
        place.add_argument("--cpus-per-run", type=int, metavar="N", help="cores of one run on Ray (1) or Slurm (4)")
        place.add_argument("--address", help="of a Ray cluster; RAY_ADDRESS or this machine by default")
        place.add_argument(
            "--cluster", choices=["slurm", "local"], help="which of submitit's; what it finds by default"
        )
        place.add_argument("--slurm", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="for submitit")


def failure_options(parser: argparse.ArgumentParser) -> None:
    """Add what happens when a run fails or hangs."""
    failing = parser.add_argument_group("when something fails")
    failing.add_argument(
        "--retries", type=int, default=2, metavar="N", help="further attempts of a run that failed; 2 by default"
    )
    failing.add_argument(
        "--max-failed", type=float, default=0.3, metavar="SHARE", help="stop when more have failed; 0.3 by default"
    )
    failing.add_argument(
        "--lease", type=float, default=60.0, metavar="SECONDS", help="until a dead worker's run is taken over; 60"
    )
    failing.add_argument(
        "--hang-after",
        type=float,
        default=30.0,
        metavar="MINUTES",
        help="kill a run without a heartbeat for so long, with the stacks of its threads in its log; 30 by default, 0: "
        "never",
    )


def check_execution(arguments: argparse.Namespace) -> None:
    """Check the numbers and combinations of these options.

    Raises:
        UserError: One means nothing.
    """
    for name, least in LEAST.items():
        value = getattr(arguments, name, None)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} {value}: give at least {least}")
    if arguments.lease < 2:
        raise UserError(f"--lease {arguments.lease:g}: give at least 2 seconds")
    if arguments.hang_after < 0:
        raise UserError(f"--hang-after {arguments.hang_after:g}: give minutes, or 0 for never")
    executor = getattr(arguments, "executor", "local")
    for name, other in CLUSTERS.items():
        if getattr(arguments, name, None) and executor != other:
            raise UserError(f"--{name} is for --executor {other}")
    if executor == "slurm" and arguments.gpus:
        raise UserError("--gpus names GPUs of this machine; with --executor slurm say --gpus-per-run")


def resources_of(arguments: argparse.Namespace) -> Resources:
    """Return where runs are executed, as the options say.

    Raises:
        UserError: A setting of Slurm is not well-formed.
    """
    gpus = None if arguments.gpus is None else [gpu for gpu in arguments.gpus if gpu != "none"]
    more = ("executor", "cpus_per_run", "address", "cluster")
    return api.Resources(
        jobs=arguments.jobs,
        gpus=gpus,
        gpus_per_run=arguments.gpus_per_run,
        settings=dict(_setting(text) for text in getattr(arguments, "slurm", ())),
        **{name: getattr(arguments, name) for name in more if hasattr(arguments, name)},
    )


def rules_of(arguments: argparse.Namespace) -> Rules:
    """Return when to try again and when to stop, as the options say."""
    return api.Rules(
        retries=arguments.retries,
        max_failed=arguments.max_failed,
        ttl=arguments.lease,
        hang=60 * arguments.hang_after,
    )


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--slurm {text}: write KEY=VALUE, such as slurm_partition=gpu")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value
