"""Run jobs as Slurm jobs, by submitit."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dupl.errors import UserError
from dupl.execute.job import Job
from dupl.execute.order import End, Order, decode_end, encode
from dupl.execute.worker import work_by_text
from dupl.process import SAFE_PATH

FOLDER = ".slurm"  # of a store: what submitit keeps of its jobs
DEFAULTS: dict[str, Any] = {
    "nodes": 1,
    "tasks_per_node": 1,
    "timeout_min": 24 * 60,
    "slurm_signal_delay_s": 120,
    "slurm_setup": [f"export {SAFE_PATH}=1"],
}


class SlurmExecutor:
    """One Slurm job per run. They outlive the process that submitted them.

    Every executor makes a folder of its own, which only this user may enter: submitit unpickles what lies there, so
    nothing that came with the store may. Orders and answers are JSON.

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
            raise UserError('the executor slurm needs submitit: pip install ".[slurm]"') from None
        self.gpus = 1 if per_run is None else per_run
        self.slots = 10**6 if jobs is None else jobs
        parameters = {**DEFAULTS, "cpus_per_task": cpus, "gpus_per_node": self.gpus, **(settings or {})}
        self.folder = _fresh_folder(Path(root).absolute() / FOLDER)
        try:
            self.executor = submitit.AutoExecutor(folder=self.folder, cluster=cluster)
            self.executor.update_parameters(**parameters)
        except (RuntimeError, ValueError, NameError, AssertionError, TypeError) as error:
            raise UserError(f"executor slurm: {str(error).splitlines()[0]}") from None
        if cluster is None and self.executor.cluster != "slurm":
            raise UserError("executor slurm: this machine has no srun; try the cluster local, or the executor local")

    def submit(self, job: Job, order: Order) -> SlurmHandle:
        """Put the job into the queue.

        Raises:
            UserError: Slurm refuses.
        """
        self.executor.update_parameters(name=f"dupl-{job.fingerprint}")
        try:
            answer = self.folder / f"{order.ticket}.json"
            return SlurmHandle(self.executor.submit(work_by_text, encode(job, order), str(answer)), answer)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:  # submitit's, of what sbatch says
            said = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise UserError(
                f"executor slurm: Slurm did not take {job.title} ({said}); what it took goes on, and the same "
                "command waits for it (jobs limits how many are in the queue)"
            ) from None

    def close(self) -> None:
        """Do nothing: jobs that are at work stay so."""


class SlurmHandle:
    """A job of submitit."""

    def __init__(self, job: Any, answer: Path) -> None:
        self.job, self.answer = job, answer

    def ended(self) -> bool:
        """Tell whether the job is over."""
        return bool(self.job.done())

    def end(self) -> End:
        """Return how it ended."""
        try:
            return decode_end(self.answer.read_text(encoding="utf-8"))
        except FileNotFoundError:
            lines = (self.job.stderr() or "").strip().splitlines()
            why = lines[-1] if lines else "its worker ended without an answer"
        except (OSError, ValueError) as error:
            why = str(error)
        return End("failed", f"{why} (see {self.job.paths.stderr})", broken=True)

    def kill(self) -> None:
        """Cancel the job."""
        with suppress(Exception):  # it may be over
            self.job.cancel()


def _fresh_folder(parent: Path) -> Path:
    """Make a folder that nothing lies in and nobody else may enter.

    Raises:
        UserError: It cannot be made.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=parent))
    except OSError as error:
        raise UserError(f"--executor slurm: {parent} cannot be written: {error.strerror or error}") from None
