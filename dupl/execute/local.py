"""Run jobs in processes on this machine, each on GPUs or cores of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from dupl.errors import UserError
from dupl.execute.job import Job
from dupl.execute.order import End, Order, decode_end, encode
from dupl.execute.worker import kill_marked
from dupl.process import environment


class LocalExecutor:
    """Workers that end with the process that started them, and let their runs save a checkpoint first.

    Args:
        jobs: Runs at once; None is `runs_per_gpu` for each group of GPUs, or one where there are none. With more jobs
            than groups, several share one.
        gpus: Ids as CUDA_VISIBLE_DEVICES has them; empty where runs are to use the CPU.
        per_run: GPUs of one run; None is 1 where there are any. It goes beyond `gpus` only where that is empty.
        cores: To share out; None is all that this process may use. Runs on GPUs are not bound to cores.
        runs_per_gpu: Runs that share a GPU; more than 1 needs GPUs, and runs of one GPU each.

    Raises:
        UserError: The numbers do not fit together.
    """

    queues = False

    def __init__(
        self,
        jobs: int | None = None,
        gpus: Sequence[str] = (),
        per_run: int | None = None,
        cores: Sequence[int] | None = None,
        runs_per_gpu: int = 1,
    ) -> None:
        self.gpus = per_run if per_run is not None else min(1, len(gpus))
        if gpus and not 1 <= self.gpus <= len(gpus):
            raise UserError(f"{self.gpus} GPUs per run, of {len(gpus)}: give a run at least one and at most all")
        check_sharing(runs_per_gpu, self.gpus, len(gpus))
        starts = range(0, len(gpus) - self.gpus + 1, self.gpus) if gpus else ()
        groups = [tuple(gpus[i : i + self.gpus]) for i in starts]
        self.slots = jobs if jobs is not None else max(1, runs_per_gpu * len(groups))
        if self.slots < 1:
            raise UserError(f"--jobs {jobs}: give at least 1")
        shares = share(available_cores() if cores is None else cores, self.slots)
        self.places: list[tuple[dict[str, str], tuple[int, ...]]] = []
        for i, share_of in enumerate(shares):
            env = {"CUDA_VISIBLE_DEVICES": ",".join(groups[i % len(groups)]) if groups else ""}
            if "OMP_NUM_THREADS" not in os.environ:
                env["OMP_NUM_THREADS"] = str(max(1, len(share_of) // max(1, self.gpus)))
            self.places.append((env, () if groups else share_of))
        self.at_work: dict[int, LocalHandle] = {}

    def submit(self, job: Job, order: Order) -> LocalHandle:
        """Start a worker in a free place: on the GPUs that the fewest runs use, otherwise in the first.

        Raises:
            ValueError: There is none.
        """
        free = [i for i in range(self.slots) if i not in self.at_work or self.at_work[i].ended()]
        if not free:
            raise ValueError(f"all {self.slots} places are taken")
        users = Counter(self._gpus(i) for i in range(self.slots) if i not in free)
        place = min(free, key=lambda i: users[self._gpus(i)])
        env, cores = self.places[place]
        order = replace(order, parent=os.getpid(), cores=cores, env={**order.env, **env})
        self.at_work[place] = LocalHandle(job, order)
        return self.at_work[place]

    def _gpus(self, place: int) -> str:
        return self.places[place][0]["CUDA_VISIBLE_DEVICES"]

    def close(self) -> None:
        """Do nothing: nothing is left to give back."""


class LocalHandle:
    """A worker process, in a session of its own so that Ctrl-C on the terminal is for the scheduler alone."""

    def __init__(self, job: Job, order: Order) -> None:
        self.ticket = order.ticket
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dupl.execute.worker", encode(job, order)],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def ended(self) -> bool:
        """Tell whether the process is no more."""
        return self.process.poll() is not None

    def end(self) -> End:
        """Return what the worker printed at its end; where it broke, the last line of what it said."""
        answer, said = (stream.decode(errors="replace").strip() for stream in self.process.communicate())
        if self.process.returncode == 0 and answer:
            return decode_end(answer.splitlines()[-1])
        why = said.splitlines()[-1] if said else f"its worker {ending(self.process.returncode)}"
        return End("failed", why, broken=True)

    def waits_for(self) -> str:
        """Return "": it never waits."""
        return ""

    def kill(self) -> None:
        """Kill worker and command."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        kill_marked(self.ticket)


def check_sharing(runs_per_gpu: int, gpus_per_run: int, gpus: int) -> None:
    """Check that runs can share GPUs.

    Raises:
        UserError: They cannot: there are no GPUs, or a run has several.
    """
    if runs_per_gpu == 1:
        return
    where = f"--runs-per-gpu {runs_per_gpu}"
    if runs_per_gpu < 1:
        raise UserError(f"{where}: give at least 1")
    if not gpus:
        raise UserError(f"{where}: there is no GPU to share; on CPU cores --jobs says how many runs go at once")
    if gpus_per_run != 1:
        raise UserError(
            f"{where} is for runs of one GPU each, and a run has {gpus_per_run}: give one of the two options"
        )


def ending(code: int) -> str:
    """Say how a process ended, by its exit code."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def share(cores: Sequence[int], parts: int) -> list[tuple[int, ...]]:
    """Cut cores into parts that differ by one at most; where there are fewer cores than parts, parts share one."""
    if parts >= len(cores):
        return [(cores[i % len(cores)],) for i in range(parts)]
    bounds = [i * len(cores) // parts for i in range(parts + 1)]
    return [tuple(cores[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]


def available_cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, by CUDA_VISIBLE_DEVICES or else by the driver; [] without any."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu.strip() for gpu in chosen.split(",") if gpu.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    found = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return found.stdout.split() if found.returncode == 0 else []
