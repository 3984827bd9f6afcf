"""Run jobs as Slurm jobs, by submitit."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from dupl.errors import UserError
from dupl.execute.job import Job
from dupl.execute.order import End, Order
from dupl.execute.worker import work

FOLDER = ".slurm"  # of a store: what submitit keeps of its jobs
DEFAULTS: dict[str, Any] = {"nodes": 1, "tasks_per_node": 1, "timeout_min": 24 * 60, "slurm_signal_delay_s": 120}


class SlurmExecutor:
    """One Slurm job per run. They outlive the process that submitted them.

    Before the time limit Slurm has the run save a checkpoint; it is submitted again and goes on from there.

    Args:
        root: The store, on a file system that all nodes share.
        jobs: At once, waiting ones included; None is no limit.
        per_run: GPUs of one run.
        cpus: Cores of one run.
        cluster: "slurm", or submitit's "local", which starts processes on this machine; None is what submitit finds.
        settings: Parameters as submitit names them, such as ``timeout_min`` or ``slurm_partition``.

    Raises:
        UserError: submitit is not installed, there is no Slurm, or a parameter is none.
    """

    queues = True

    def __init__(
        self,
        root: str | Path,
        jobs: int | None = None,
        per_run: int | None = None,
        cpus: int = 4,
        cluster: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            import submitit
        except ImportError:
            raise UserError('--executor slurm needs submitit: pip install ".[slurm]"') from None
        self.gpus = 1 if per_run is None else per_run
        self.slots = 10**6 if jobs is None else jobs
        parameters = {**DEFAULTS, "cpus_per_task": cpus, "gpus_per_node": self.gpus, **(settings or {})}
        try:
            self.executor = submitit.AutoExecutor(folder=Path(root).absolute() / FOLDER, cluster=cluster)
            self.executor.update_parameters(**parameters)
        except (RuntimeError, ValueError, NameError, AssertionError, TypeError) as error:
            raise UserError(f"--executor slurm: {str(error).splitlines()[0]}") from None
        if cluster is None and self.executor.cluster != "slurm":
            raise UserError("--executor slurm: this machine has no srun; try --cluster local, or --executor local")

    def submit(self, job: Job, order: Order) -> SlurmHandle:
        """Put the job into the queue.

        Raises:
            UserError: Slurm refuses.
        """
        self.executor.update_parameters(name=f"dupl-{job.fingerprint}")
        try:
            return SlurmHandle(self.executor.submit(work, job, order))
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:  # submitit's, of what sbatch says
            said = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise UserError(
                f"--executor slurm: Slurm did not take {job.title} ({said}); what it took goes on, and the same "
                "command waits for it (--jobs limits how many are in the queue)"
            ) from None

    def close(self) -> None:
        """Do nothing: jobs that are at work stay so."""


class SlurmHandle:
    """A job of submitit."""

    def __init__(self, job: Any) -> None:
        self.job = job

    def ended(self) -> bool:
        """Tell whether the job is over."""
        return bool(self.job.done())

    def end(self) -> End:
        """Return how it ended."""
        try:
            return cast(End, self.job.result())
        except Exception as error:  # of submitit, or of the worker
            why = f"{str(error).strip().splitlines()[-1]} (see {self.job.paths.stderr})"
            return End("failed", why, broken=True)

    def kill(self) -> None:
        """Cancel the job."""
        with suppress(Exception):  # it may be over
            self.job.cancel()
