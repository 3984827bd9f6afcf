"""Dense CRF over probability maps: parameters, the reference backend, and a pool of processes that streams images.

Released code: 10 iterations; a Gaussian kernel of 1 pixel and weight 1; a bilateral one of 121 pixels, 5 grey levels
and weight 4; the unary term is -log of the softmax, which is clipped at 1e-5.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dupl.config.schema import CRF
from dupl.engine.memory import keep_memory
from dupl.errors import RunError, UserError

Labels = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
Key = TypeVar("Key")
CLIP = 1e-5  # smallest probability of the unary term
BACKENDS = ("pydensecrf", "torch")


def suffix(crf: CRF) -> str:
    """Return what differs from the released code, for names of files; "" where nothing does."""
    ours, released = asdict(crf), asdict(CRF())
    return "".join(f"-{name}{value:g}" for name, value in ours.items() if value != released[name])


@dataclass(frozen=True, eq=False)
class Job:
    """One image to refine.

    Attributes:
        image: RGB, uint8 (H, W, 3).
        probabilities: S maps of it, float32 (S, C, H, W).
        classes: Label ids that may be given, of the C; None for all of them.
    """

    image: NDArray[np.uint8]
    probabilities: Probabilities
    classes: tuple[int, ...] | None = None


def refine_reference(image: NDArray[np.uint8], probabilities: Probabilities, crf: CRF) -> Labels:
    """Labels of several probability maps (S, C, H, W) of one image by pydensecrf, uint8 (S, H, W)."""
    from pydensecrf.densecrf import DenseCRF2D

    count, height, width = probabilities.shape[1:]
    field = DenseCRF2D(width, height, count)
    field.addPairwiseGaussian(sxy=crf.sxy, compat=crf.compat)
    pixels = np.array(image, order="C")  # it refuses what cannot be written to
    field.addPairwiseBilateral(sxy=crf.bilateral_sxy, srgb=crf.srgb, rgbim=pixels, compat=crf.bilateral_compat)
    labels = []
    for single in probabilities:  # the kernels depend on the image alone
        field.setUnaryEnergy(-np.log(np.clip(single, CLIP, 1)).reshape(count, -1))
        belief = np.asarray(field.inference(crf.iterations))
        labels.append(belief.argmax(0).reshape(height, width).astype(np.uint8))
    return np.stack(labels)


def refine(job: Job, crf: CRF, backend: str, device: str = "cpu") -> Labels:
    """Label ids of a job's maps after the CRF, uint8 (S, H, W)."""
    maps = job.probabilities
    if job.classes is not None:
        maps = maps[:, list(job.classes)]
        maps = maps / maps.sum(1, keepdims=True).clip(min=1e-12)
    if backend == "pydensecrf":
        winner = refine_reference(job.image, maps, crf)
    else:
        from dupl.engine.evaluation.crf import mean_field

        winner = mean_field.refine(job.image, maps, crf, device)
    return winner if job.classes is None else np.array(job.classes, np.uint8)[winner]


def require(backend: str) -> None:
    """Know early whether a backend is there.

    Raises:
        UserError: It is not; the message says how to install it.
    """
    if backend not in BACKENDS:
        raise UserError(f"--crf-backend {backend}: choose from {', '.join(BACKENDS)}")
    if backend == "pydensecrf" and importlib.util.find_spec("pydensecrf") is None:
        raise UserError(
            'pydensecrf is not installed: pip install ".[crf]" (it needs a C++ compiler and Python below 3.13), '
            "or use --crf-backend torch"
        )


def cores() -> int:
    """Cores this process may use: no more than torch's threads, which OMP_NUM_THREADS sets."""
    import torch

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, torch.get_num_threads())


def stream(
    jobs: Iterator[tuple[Key, Job]], crf: CRF, backend: str, *, workers: int | None = None, device: str = "cpu"
) -> Iterator[tuple[Key, Labels]]:
    """Refine images as they come; each result with the key of its job, in the order of completion.

    On the CPU one process per core works, each on an image of its own. At most two jobs per process exist at a time:
    no job is asked for before there is room, so that memory is bounded whatever the number of images.

    Args:
        jobs: Keys and jobs.
        crf: Parameters.
        backend: One of ``BACKENDS``.
        workers: Processes; one per core where None; 0 works in this process.
        device: A CUDA device makes the torch backend work in this process, on it.

    Raises:
        RunError: A process of the pool died.
    """
    workers = cores() if workers is None else workers
    if workers == 0 or (backend == "torch" and device != "cpu"):
        for key, job in jobs:
            yield key, refine(job, crf, backend, device)
        return
    waiting: dict[Future[Labels], Key] = {}
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin)
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
            "a process of the CRF died, for want of memory perhaps: repeat the command, it goes on where it stopped"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Start-up of a process of the pool: one thread each, ends with its parent, leaves Ctrl-C to it."""
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_memory()
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(parent_ends: Callable[[], object]) -> None:
    parent_ends()
    os._exit(1)
