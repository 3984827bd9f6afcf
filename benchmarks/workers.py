"""What is measured: an object in a process of its own, with its wall time and its peak memory.

This module imports no torch, so that a process holds only what its own side needs.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

GIB = 2**30
SCRIPT = "train_final_voc.py"  # of the released repository


@dataclass(frozen=True)
class Case:
    """A network, a crop and a batch to measure.

    Attributes:
        name: As the command line calls it.
        backbone: timm's name.
        dim: Width of the network.
        depth: Blocks.
        heads: Of the attention.
        size: Side of the crop in pixels.
        batch: Images of a step.
        repeats: Measured repetitions.
        images: Images of the evaluation.
        targets: At most this share of the released implementation, by row.
        classes: With background.
        present: Classes of each image.
        students: 1 or 2.
    """

    name: str
    backbone: str
    dim: int
    depth: int
    heads: int
    size: int
    batch: int
    repeats: int
    images: int
    targets: dict[str, float]
    classes: int = 21
    present: int = 2
    students: int = 2

    @property
    def title(self) -> str:
        """Return the case in words."""
        return f"{self.backbone.split('_patch')[0]}, {self.size} px, batch {self.batch}"


PARTS = {"refine": 0.03, "anf": 0.06, "eval": 0.4}
CASES = {
    "micro": Case("micro", "vit_tiny_patch16_224", 48, 3, 3, 64, 2, 1, 2, {}),
    "tiny": Case(
        "tiny",
        "deit_tiny_patch16_224",
        192,
        12,
        3,
        224,
        4,
        5,
        8,
        {"off": 0.5, "memory": 0.6, "cam": 0.45, "bf16": 0.4, **PARTS},
    ),
    "vitb": Case(
        "vitb",
        "deit_base_patch16_224",
        768,
        12,
        12,
        448,
        2,
        3,
        2,
        {"off": 0.42, "memory": 0.5, "cam": 0.34, "bf16": 0.28, "schedule": 0.45, **PARTS},
    ),
}


class Side:
    """One implementation: a subclass does the work, and this class measures it."""

    device: str = "cpu"

    def use(self, device: str, threads: int | None) -> None:
        """Choose the device and the number of threads of this process."""
        import torch

        self.device = device
        if threads:
            torch.set_num_threads(threads)

    def timed(self, name: str, **arguments: Any) -> tuple[float, Any]:
        """Return the seconds that a method takes, and its result."""
        self.settle()
        begun = time.perf_counter()
        answer = getattr(self, name)(**arguments)
        self.settle()
        return time.perf_counter() - begun, answer

    def timed_cpu(self, name: str, **arguments: Any) -> tuple[tuple[float, float], Any]:
        """Measure a method: seconds, CPU seconds of all threads of this process, and its answer."""
        begun = time.process_time()
        seconds, answer = self.timed(name, **arguments)
        return (seconds, time.process_time() - begun), answer

    def weighed(self, name: str, **arguments: Any) -> tuple[tuple[float, float], Any]:
        """Return the bytes of this process, on a GPU of its tensors, at a method's peak and before, and its result."""
        self.settle()
        forget_peak(self.device)
        before = peak(self.device)
        answer = getattr(self, name)(**arguments)
        self.settle()
        return (peak(self.device), before), answer

    def settle(self) -> None:
        """Wait for the device."""
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize()


def forget_peak(device: str) -> None:
    """Hand free memory back and start a new peak; elsewhere than on Linux the peak is that of the whole process."""
    if device != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak(device: str) -> float:
    """Return the largest number of bytes since ``forget_peak``."""
    if device != "cpu":
        import torch

        return float(torch.cuda.max_memory_allocated())
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


class Worker:
    """An object in its own process; calling the worker calls a method there.

    Args:
        factory: "module:Class", made and kept in the process.
        arguments: Of the class.

    Raises:
        SystemExit: The process could not make it, or a call failed there; its traceback is printed.
    """

    daemon = True  # ends with its parent in any case, and has no processes of its own

    def __init__(self, factory: str, **arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=_serve, args=(end, factory, arguments), daemon=self.daemon)
        self.process.start()
        end.close()
        self._answer()

    def __call__(self, method: str, *values: Any, **arguments: Any) -> Any:
        """Call a method in the process and wait for its answer."""
        self.pipe.send((method, values, arguments))
        return self._answer()

    def _answer(self) -> Any:
        try:
            good, answer = self.pipe.recv()
        except EOFError:
            raise SystemExit("a measured process ended: not enough memory?") from None
        if not good:
            raise SystemExit(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Parent(Worker):
    """A worker that starts processes itself."""

    daemon = False


class Here(Worker):
    """A worker in this process, to try a command: it imports nothing twice, and its memory is that of all."""

    def __init__(self, factory: str, **arguments: Any) -> None:
        module, _, name = factory.partition(":")
        self.made = getattr(importlib.import_module(module), name)(**arguments)

    def __call__(self, method: str, *values: Any, **arguments: Any) -> Any:
        """Call a method."""
        return getattr(self.made, method)(*values, **arguments)

    def close(self) -> None:
        """Do nothing: there is no process to end."""


def _serve(pipe: Connection, factory: str, arguments: dict[str, Any]) -> None:
    module, _, name = factory.partition(":")

    def answer(call: Callable[[], Any]) -> Any:
        try:
            good, value = True, call()
        except Exception:
            good, value = False, traceback.format_exc()
        return good, value

    good, made = answer(lambda: getattr(importlib.import_module(module), name)(**arguments))
    pipe.send((good, None if good else made))
    while good:
        try:
            method, values, keywords = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        pipe.send(answer(lambda m=method, v=values, k=keywords: getattr(made, m)(*v, **k)))  # type: ignore[misc]


def computed(precisions: Sequence[str], facts: dict[str, Any]) -> list[str]:
    """The precisions that a device computes; those in bfloat16 are left out where it would emulate it, and said.

    Args:
        precisions: "off", "cam", "bf16", "fp16".
        facts: Of our side: ``bf16``, whether the device computes bfloat16, and ``capability`` in words.
    """
    print(f"The device {facts['capability']}.", flush=True)
    kept = [name for name in precisions if name in ("off", "fp16") or facts["bf16"]]
    if left := [name for name in precisions if name not in kept]:
        print(f"Left out, as they would be emulated: {', '.join(left)}.", flush=True)
    return kept


def machine() -> dict[str, Any]:
    """Return processor, cores and load."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        cpu = next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        import platform

        cpu = platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"cpu": cpu, "cores": cores, "load_before": load}
