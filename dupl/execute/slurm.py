"""Run jobs as Slurm jobs, by submitit."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dupl.errors import UserError
from dupl.execute.executor import Away
from dupl.execute.job import Job
from dupl.execute.order import End, Order, decode_end, encode
from dupl.execute.slurm_queue import GONE, ORDINARY, Queue
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
NO_GPUS = re.compile(r"generic resource|[Gg]res|node configuration is not available")
ENDINGS = {  # of a job whose worker could not answer
    "TIMEOUT": "reached its time limit before it had saved: raise timeout_min, or slurm_signal_delay_s",
    "OUT_OF_MEMORY": "used more memory than it asked for: raise mem_gb",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "lost its node, which did not start",
    "PREEMPTED": "was preempted",
}
LOST = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED")  # no fault of the run
LATER = re.compile(  # what sbatch says where Slurm does not answer
    r"contact slurm controller|[Ss]ocket timed out|[Cc]onnection (refused|timed out|reset)|temporarily unable"
    r"|[Uu]nexpected message|[Zz]ero [Bb]ytes|Transport endpoint|[Tt]imed out"
)
POLICY = re.compile(r"\b(?:Assoc|QOS)[A-Z]\w+")  # the limit that a job breaks, by its name
FULL = re.compile(r"[Mm]ax ?[Ss]ubmit|Submit\w*Limit|job submit limit")  # too many jobs are submitted
SUBMITTED = (
    "the limit of submitted jobs is used up by other jobs (squeue --me lists yours), or allows none "
    "(sacctmgr show assoc lists the limits); the same command goes on"
)
FULL_LIMIT = 3600.0  # seconds for which that is waited for while none of the runs is in the queue


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
        self.gpus, self.asked = 1 if per_run is None else per_run, per_run
        self.slots = 10**6 if jobs is None else jobs
        parameters = {**DEFAULTS, "cpus_per_task": cpus, "gpus_per_node": self.gpus, **(settings or {})}
        _check_time(parameters)
        self.folder = _fresh_folder(Path(root).absolute() / FOLDER)
        try:
            self.executor = submitit.AutoExecutor(folder=self.folder, cluster=cluster)
            self.executor.update_parameters(**parameters)
        except (RuntimeError, ValueError, NameError, AssertionError, TypeError) as error:
            raise UserError(f"executor slurm: {str(error).splitlines()[0]}") from None
        self.queue = Queue() if self.executor.cluster == "slurm" else None
        if cluster is None and self.queue is None:
            raise UserError("executor slurm: this machine has no srun; try the cluster local, or the executor local")

    def submit(self, job: Job, order: Order) -> SlurmHandle:
        """Put the job into the queue.

        Raises:
            Away: Slurm does not answer, or takes no more jobs at the moment: too many are submitted.
            UserError: Slurm refuses the job.
        """
        self.executor.update_parameters(name=f"dupl-{job.fingerprint}")
        try:
            answer = self.folder / f"{order.ticket}.json"
            given = self.executor.submit(work_by_text, encode(job, order), str(answer))
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:  # submitit's, of what sbatch says
            said = _said(error)
            named = " ".join(POLICY.findall(str(error)))  # a policy's message lists all limits, the name one
            if FULL.search(named or str(error)):
                raise Away(f"Slurm takes no more jobs ({said})", FULL_LIMIT, SUBMITTED) from None
            if LATER.search(str(error)):
                raise Away(f"Slurm takes no job at the moment ({said})") from None
            hint = "--jobs limits how many are in the queue"
            if self.asked is None and NO_GPUS.search(str(error)):
                hint = "each run asks for 1 GPU; where there are none, give --gpus-per-run 0"
            raise UserError(
                f"executor slurm: Slurm did not take {job.title} ({said}); what it took goes on, and the same "
                f"command waits for it ({hint})"
            ) from None
        if self.queue is not None:
            self.queue.submitted(given.job_id)
        return SlurmHandle(given, answer, self.queue)

    def close(self) -> None:
        """Do nothing: jobs that are at work stay so."""


class SlurmHandle:
    """A job of submitit.

    Args:
        job: The job.
        answer: The file that its worker writes at its end.
        queue: Of Slurm; None where submitit starts the processes on this machine.
    """

    def __init__(self, job: Any, answer: Path, queue: Queue | None) -> None:
        self.job, self.answer, self.queue = job, answer, queue

    def ended(self) -> bool:
        """Tell whether the job is over; one that Slurm queues again is not, whatever its worker said before."""
        if self.queue is None:
            return bool(self.job.done())
        entry = self.queue.entry(self.job.job_id)
        if self.queue.away:
            return self.answer.is_file()
        return entry is not None and not entry.live

    def end(self) -> End:
        """Return how it ended: what its worker said, or else what Slurm did to it."""
        entry = self.queue.entry(self.job.job_id) if self.queue is not None else None
        state = entry.state.split()[0] if entry is not None and entry is not GONE else ""
        if state == "CANCELLED":
            error = f"Slurm job {self.job.job_id} was cancelled; the same command submits it again"
            return End("failed", error, hopeless=True, broken=True)
        try:
            return decode_end(self.answer.read_text(encoding="utf-8"))
        except FileNotFoundError:
            why = self._why(state)
        except (OSError, ValueError) as error:
            why = str(error)
        return End("failed", f"{why} (see {self.job.paths.stderr})", broken=True, lost=state in LOST)

    def waits_for(self) -> str:
        """Return why it waits in the queue, where that is not its turn alone."""
        entry = self.queue.entry(self.job.job_id) if self.queue is not None else None
        if self.queue is not None and self.queue.away:
            return f"Slurm does not answer ({self.queue.away})"
        return "" if entry is None or entry.reason in ORDINARY else f"Slurm: {entry.reason}"

    def kill(self) -> None:
        """Cancel the job."""
        if self.queue is not None:
            self.queue.cancel(self.job.job_id)
            return
        with suppress(Exception):  # it may be over
            self.job.cancel()

    def _why(self, state: str) -> str:
        """Return why a job ended without an answer."""
        if state in ENDINGS:
            return f"Slurm job {self.job.job_id} {ENDINGS[state]}"
        with suppress(OSError):
            if lines := (self.job.stderr() or "").strip().splitlines():
                return str(lines[-1])
        return f"Slurm job {self.job.job_id} ended without an answer" + (f", as {state}" if state else "")


def _said(error: Exception) -> str:
    """Return what sbatch says, in one line."""
    lines = [line.strip().removeprefix("sbatch: ").removeprefix("error: ") for line in str(error).splitlines()]
    return "; ".join(filter(None, lines)) or type(error).__name__


def _check_time(parameters: Mapping[str, Any]) -> None:
    """Check that a job has time before Slurm warns it of the time limit.

    Raises:
        UserError: It has not.
    """
    with suppress(TypeError, ValueError):
        limit, warning = 60 * float(parameters["timeout_min"]), float(parameters["slurm_signal_delay_s"])
        if limit <= warning:
            raise UserError(
                f"executor slurm: the time limit, timeout_min={parameters['timeout_min']}, is not longer than the "
                f"warning before it, slurm_signal_delay_s={warning:g}: every run would stop as it starts; raise the "
                "limit, or lower the warning"
            )


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
