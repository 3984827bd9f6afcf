"""The options of commands that start many runs: where, how many at once, and what happens when one fails."""

from __future__ import annotations

import argparse
import ast
from typing import TYPE_CHECKING, Any

from dupl import api
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.api import Resources, Rules

GPUS_PER_RUN = "GPUs of one run, trained by torchrun in as many processes, which changes no number; default: 1"
RUNS_PER_GPU = "runs that share a GPU, for runs too small to fill one, which changes no number; default: 1"
LEAST = {
    "trials": 1,
    "jobs": 1,
    "confirm": 1,
    "gpus_per_run": 0,
    "runs_per_gpu": 1,
    "cpus_per_run": 1,
    "retries": 0,
    "max_failed": 0,
}
CLUSTERS = {"address": "ray", "cluster": "slurm", "slurm": "slurm"}  # options by the executor that they belong to


def resource_options(parser: argparse.ArgumentParser, clusters: bool = False) -> None:
    """Add where runs are executed; ``clusters`` adds Ray and Slurm."""
    place = parser.add_argument_group("where")
    if clusters:
        place.add_argument(
            "--executor",
            choices=["local", "ray", "slurm"],
            default="local",
            help="where to run: on this machine (default), on Ray or on Slurm",
        )
    place.add_argument(
        "--jobs", type=int, metavar="N", help="number of runs at once; default: one per GPU or group of GPUs"
    )
    place.add_argument("--gpus", nargs="+", metavar="ID", help="ids of GPUs to use, or none; default: all visible ones")
    place.add_argument("--gpus-per-run", type=int, metavar="N", help=GPUS_PER_RUN)
    place.add_argument("--runs-per-gpu", type=int, default=1, metavar="N", help=RUNS_PER_GPU)
    if clusters:
        place.add_argument(
            "--cpus-per-run", type=int, metavar="N", help="CPU cores of one run; default: 1 on Ray, 4 on Slurm"
        )
        place.add_argument("--address", help="address of the Ray cluster; default: RAY_ADDRESS or this machine")
        place.add_argument(
            "--cluster", choices=["slurm", "local"], help="which of submitit's; what it finds by default"
        )
        place.add_argument(
            "--slurm", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="settings for submitit"
        )


def failure_options(parser: argparse.ArgumentParser) -> None:
    """Add what happens when a run fails or hangs."""
    failing = parser.add_argument_group("when something fails")
    failing.add_argument(
        "--retries", type=int, default=2, metavar="N", help="further attempts for a run that failed; default: 2"
    )
    failing.add_argument(
        "--max-failed",
        type=float,
        default=0.3,
        metavar="SHARE",
        help="stop when a larger share of the runs has failed; default: 0.3",
    )
    failing.add_argument(
        "--lease",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="time until the run of a dead worker is taken over; default: 60",
    )
    failing.add_argument(
        "--hang-after",
        type=float,
        default=30.0,
        metavar="MINUTES",
        help="kill a run that gave no heartbeat for this long, with the stacks of its threads in its log; default: 30; "
        "0 disables it",
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
    if executor == "slurm" and arguments.runs_per_gpu > 1:
        raise UserError(
            "--runs-per-gpu is for this machine and Ray: Slurm shares a GPU by its own settings, "
            "such as --gpus-per-run 0 --slurm slurm_gres=shard:1"
        )


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
        runs_per_gpu=arguments.runs_per_gpu,
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
