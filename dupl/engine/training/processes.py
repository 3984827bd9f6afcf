"""Joining the processes that train together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from dupl.errors import UserError

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


@dataclass(frozen=True)
class Process:
    """This process among those that train together.

    Attributes:
        rank: Its number, from 0.
        world: Number of processes.
        device: Its device.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files and messages."""
        return self.rank == 0


def join(launcher: str, device: torch.device) -> Process:
    """Join the other processes, if there are any.

    On the CPU the processes communicate by gloo, which mmengine's own start-up does not support.

    Args:
        launcher: "none", "pytorch", "slurm" or "mpi".
        device: The device that the recipe names.

    Raises:
        UserError: The launcher does not fit the way in which this process was started.
    """
    if launcher not in LAUNCHERS:
        raise UserError(f"launcher {launcher}: choose from {', '.join(LAUNCHERS)}")
    if launcher == "none":
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError("several processes were started, but the launcher is none: add --launcher pytorch")
        return Process(0, 1, device)
    if not torch.distributed.is_initialized():
        if launcher == "pytorch" and "RANK" not in os.environ:
            raise UserError("the launcher pytorch is for torchrun: torchrun --nproc-per-node 2 -m dupl train ...")
        if device.type == "cpu" and launcher != "pytorch":
            raise UserError(f"the launcher {launcher} needs GPUs: on CPUs use torchrun and the launcher pytorch")
        if device.type == "cpu":
            torch.distributed.init_process_group("gloo")
        else:
            from mmengine.dist import init_dist

            init_dist(launcher)
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    if device.type == "cuda" and world > 1:  # each launcher assigns the GPUs in its own way
        device = torch.device("cuda", torch.cuda.current_device())
    return Process(rank, world, device)


def agree(value: Any) -> Any:
    """Return what the first process has found, in every process; all have to call this."""
    found = [value]
    if torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(found)
    return found[0]
