"""Where runs are executed: this machine, a Ray cluster, or Slurm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dupl.execute.executor import Executor
from dupl.execute.local import LocalExecutor, available_cores, share, visible_gpus


@dataclass(frozen=True)
class Resources:
    """Where runs are executed, and with what.

    Attributes:
        executor: "local", "ray" or "slurm".
        jobs: Runs at once; None is ``runs_per_gpu`` per GPU or group of GPUs, or one per machine without GPUs.
        gpus: Ids of this machine's GPUs; empty for the CPU; None is all that are visible.
        gpus_per_run: GPUs of one run, which torchrun then trains in as many processes; None is one where there are any.
        runs_per_gpu: Runs that share a GPU, on this machine or on Ray. It changes no number.
        cpus_per_run: Cores of one run; None is 1 on Ray and 4 on Slurm.
        address: Of a Ray cluster; None is RAY_ADDRESS or this machine.
        cluster: Which of submitit's clusters, "slurm" or "local"; None is what it finds.
        settings: For submitit, such as ``slurm_partition``.
    """

    executor: Literal["local", "ray", "slurm"] = "local"
    jobs: int | None = None
    gpus: Sequence[str] | None = None
    gpus_per_run: int | None = None
    runs_per_gpu: int = 1
    cpus_per_run: int | None = None
    address: str | None = None
    cluster: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def own_gpus(self) -> list[str]:
        """The GPUs of this machine to use."""
        return visible_gpus() if self.gpus is None else list(self.gpus)

    def open(self, root: str | Path) -> Executor:
        """Open the executor.

        Args:
            root: The store, where Slurm keeps the logs of its jobs.

        Raises:
            UserError: A package is missing, or the numbers do not fit together.
        """
        if self.executor == "slurm":
            from dupl.execute.slurm import SlurmExecutor

            return SlurmExecutor(
                root,
                jobs=self.jobs,
                per_run=self.gpus_per_run,
                cpus=self.cpus_per_run or 4,
                cluster=self.cluster,
                settings=dict(self.settings),
            )
        if self.executor == "ray":
            from dupl.execute.ray import RayExecutor

            return RayExecutor(
                self.address, self.jobs, self.own_gpus, self.gpus_per_run, self.cpus_per_run or 1, self.runs_per_gpu
            )
        return LocalExecutor(self.jobs, self.own_gpus, self.gpus_per_run, runs_per_gpu=self.runs_per_gpu)

    def split(self) -> list[Executor]:
        """Open one local executor for each run at once, on GPUs or cores of its own.

        Raises:
            UserError: The numbers do not fit together.
        """
        gpus = self.own_gpus
        whole = LocalExecutor(self.jobs, gpus, self.gpus_per_run, runs_per_gpu=self.runs_per_gpu)
        groups = [gpus[i : i + whole.gpus] for i in range(0, len(gpus) - whole.gpus + 1, whole.gpus)] if gpus else [[]]
        shares = share(available_cores(), whole.slots)
        return [LocalExecutor(1, groups[i % len(groups)], whole.gpus, cores) for i, cores in enumerate(shares)]
