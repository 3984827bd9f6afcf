"""Refining a stream of images, on the CPU in one process per core."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import TypeVar

from dupl.config.schema import CRF
from dupl.engine.evaluation.crf.dense_crf import RefineJob, refine
from dupl.engine.evaluation.crf.parameters import Labels
from dupl.engine.memory import keep_memory
from dupl.errors import RunError

Key = TypeVar("Key")


def cores() -> int:
    """Return the number of cores to use: those of this process, and at most OMP_NUM_THREADS where that is set."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(allowed, int(limit)) if limit.isdecimal() and int(limit) > 0 else allowed


def refine_stream(
    jobs: Iterator[tuple[Key, RefineJob]], crf: CRF, backend: str, *, workers: int | None = None, device: str = "cpu"
) -> Iterator[tuple[Key, Labels]]:
    """Refine images as they come, and yield each result with the key of its job, in the order of completion.

    On the CPU there is one process per core, and each refines one image at a time. A job is requested only when fewer
    than two per process are waiting, so that memory is bounded whatever the number of images.

    Args:
        jobs: Keys and jobs.
        crf: The parameters.
        backend: One of ``BACKENDS``.
        workers: Number of processes; None for one per core; 0 works in this process.
        device: With a CUDA device, the torch backend works in this process on it.

    Raises:
        RunError: A process of the pool died.
    """
    workers = cores() if workers is None else workers
    if workers == 0 or (backend == "torch" and device != "cpu"):
        for key, job in jobs:
            yield key, refine(job, crf, backend, device)
        return
    waiting: dict[Future[Labels], Key] = {}
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_process)
    try:
        more = True
        while more or waiting:
            while more and len(waiting) < 2 * workers:
                if (following := next(jobs, None)) is None:
                    more = False
                else:
                    waiting[pool.submit(refine, following[1], crf, backend)] = following[0]
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()
    except BrokenProcessPool as error:
        raise RunError(
            "a process of the CRF died, perhaps for lack of memory: repeat the command, it continues where it stopped"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_process() -> None:
    """Prepare a process of the pool: one thread, no reaction to Ctrl-C, and an end with its parent."""
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_memory()
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(parent_ends: Callable[[], object]) -> None:
    parent_ends()
    os._exit(1)
