"""Run jobs as Ray tasks, on a cluster or on this machine alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dupl.errors import UserError
from dupl.execute.executor import Away
from dupl.execute.job import Job
from dupl.execute.local import check_sharing
from dupl.execute.order import End, Order, decode_end, encode
from dupl.execute.worker import work_by_text

STORE = 100 * 2**20  # bytes for objects, of which there are hardly any
LENGTH = 200  # of an error of Ray that is told, which may be a paragraph


class RayExecutor:
    """One task per run, with its GPUs and cores; the cluster decides where.

    Orders and answers are JSON.
    A cluster that needs a token finds it as Ray documents: RAY_AUTH_MODE and RAY_AUTH_TOKEN, or a file.
    The store and the working folder must be there, by the same path, on every node. When the process that gave the
    orders dies, Ray ends its tasks, and the runs go on from their last checkpoint with whoever takes them over.

    Args:
        address: Of a cluster, as ``ray.init`` takes it; None is RAY_ADDRESS, or else a cluster of this machine.
        jobs: At once; None is as many as the cluster has room for.
        gpus: Ids for the cluster of this machine; of no effect on another.
        per_run: GPUs of one run; None is 1 where the cluster has any.
        cpus: Cores of one run.
        runs_per_gpu: Runs that share a GPU: each asks for that fraction of one.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer or has no room for one run.
    """

    queues = True

    def __init__(
        self,
        address: str | None = None,
        jobs: int | None = None,
        gpus: Sequence[str] = (),
        per_run: int | None = None,
        cpus: int = 1,
        runs_per_gpu: int = 1,
    ) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise UserError('the executor ray needs Ray: pip install ".[ray]"') from None
        self.ray: Any = ray
        self.cpus = cpus
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        own: dict[str, Any] = {}
        if address == "local":
            own = {"num_gpus": len(gpus), "include_dashboard": False, "object_store_memory": STORE}
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        try:
            self.ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except (OSError, RuntimeError, ValueError, self.ray.exceptions.RayError) as error:
            raise UserError(f"no Ray cluster at {address}: {' '.join(str(error).split())}") from None
        room = self.ray.cluster_resources()
        there = int(room.get("GPU", 0))
        self.gpus = per_run if per_run is not None else min(1, there)
        try:
            check_sharing(runs_per_gpu, self.gpus, there)
        except UserError:
            self.close()
            raise
        self.share = self.gpus if runs_per_gpu == 1 else self.gpus / runs_per_gpu
        fitting = int(room.get("CPU", 0)) // cpus
        if self.gpus:
            fitting = min(fitting, there // self.gpus * runs_per_gpu)
        if fitting < 1:
            self.close()
            raise UserError(f"the Ray cluster at {address} has no room for a run of {cpus} cores, {self.gpus} GPUs")
        self.slots = jobs if jobs is not None else fitting

    def submit(self, job: Job, order: Order) -> RayHandle:
        """Have the job done where there is room.

        Raises:
            Away: The cluster does not answer.
        """
        task = self.ray.remote(max_retries=0)(work_by_text)
        options = {"num_cpus": self.cpus, "num_gpus": self.share, "name": job.title}
        try:
            return RayHandle(self.ray, task.options(**options).remote(encode(job, order)))
        except (self.ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise Away(f"Ray takes no task at the moment ({_told(error)})") from None

    def close(self) -> None:
        """Leave the cluster; one of this machine alone ends."""
        self.ray.shutdown()


def _told(error: BaseException) -> str:
    """Return what an error of Ray says, in one line."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    own = type(error).__name__ == "RayTaskError"  # a traceback, whose last line is the error
    text = (lines[-1] if own else lines[0]) if lines else "no reason"
    return text if len(text) <= LENGTH else text[:LENGTH].rpartition(". ")[0] or f"{text[:LENGTH]}..."


class RayHandle:
    """A task."""

    def __init__(self, ray: Any, task: Any) -> None:
        self.ray, self.task = ray, task

    def ended(self) -> bool:
        """Tell whether the task is over, or lost with its cluster."""
        try:
            return bool(self.ray.wait([self.task], timeout=0)[0])
        except (self.ray.exceptions.RayError, ConnectionError, RuntimeError):
            return True

    def end(self) -> End:
        """Return how it ended; what Ray lost, by a node, a raylet or the whole cluster, is no failure of the run."""
        errors = self.ray.exceptions
        try:
            return decode_end(self.ray.get(self.task))
        except (errors.RayTaskError, errors.TaskCancelledError) as error:  # of the worker, or as it was asked for
            return End("failed", _told(error), broken=True)
        except Exception as error:
            return End("failed", f"Ray lost the run ({type(error).__name__}: {_told(error)})", broken=True, lost=True)

    def waits_for(self) -> str:
        """Return "": a task waits for its turn alone."""
        return ""

    def kill(self) -> None:
        """Take the task out of the queue, or kill its process."""
        with suppress(Exception):  # it may be over, or the cluster gone
            self.ray.cancel(self.task, force=True)
