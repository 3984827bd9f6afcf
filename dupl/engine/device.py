"""The device of a process and the precision on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dupl.engine.memory import keep_memory
from dupl.errors import UserError
from dupl.terminal import counted


def choose_device(setting: str) -> torch.device:
    """Return the device of this process and prepare it.

    Args:
        setting: ``runtime.device``: "cpu", "cuda" or "auto", which is the process's CUDA device if there is one.

    Raises:
        UserError: The setting is unknown, or "cuda" is asked for and torch sees no CUDA device.
    """
    if setting == "auto":
        setting = "cuda" if torch.cuda.is_available() else "cpu"
    if setting == "cuda":
        if not torch.cuda.is_available():
            raise UserError("runtime.device is cuda, but torch sees no CUDA device: use --set runtime.device=cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    if setting != "cpu":
        raise UserError(f'runtime.device is {setting!r}: choose "auto", "cuda" or "cpu"')
    keep_memory()
    return torch.device("cpu")


def open_device(runtime: Mapping[str, Any]) -> torch.device:
    """Return the device of this process, and set what changes its numbers, whatever the environment says.

    That is the number of torch's threads on a CPU, and TF32 on a GPU, which is off.

    Args:
        runtime: The section of a recipe: device, threads.

    Raises:
        UserError: As `choose_device`.
    """
    device = choose_device(runtime["device"])
    if device.type == "cpu":
        torch.set_num_threads(runtime["threads"])
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return device


def hardware(device: torch.device, world: int) -> dict[str, Any]:
    """Return what a training computes on, as fields of `dupl.runs.stretches.Stretch`.

    Threads and vector instructions are those of torch on a CPU, where they decide the order of sums; None on a GPU.

    Args:
        device: The device of this process.
        world: Number of processes.
    """
    on_cpu = device.type == "cpu"
    return {
        "processes": world,
        "threads": torch.get_num_threads() if on_cpu else None,
        "machine": machine(device, world),
        "processor": processor() if on_cpu else torch.cuda.get_device_name(device),
        "vector": torch.backends.cpu.get_cpu_capability() if on_cpu else None,
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of torch, as the processes of a loader do: their number then changes no result."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def place(device: torch.device, threads: int) -> str:
    """Describe where a run computes: "cuda:0", or "cpu, 1 thread on 2 cores".

    Args:
        device: The device.
        threads: ``runtime.threads``.
    """
    if device.type != "cpu":
        return str(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"cpu, {counted(threads, 'thread')} on {counted(cores, 'core')}"


def machine(device: torch.device, world: int) -> str:
    """Describe the hardware of a run: "2 x NVIDIA H200", or the number of cores and the name of the processor.

    Args:
        device: The device of this process.
        world: Number of processes.
    """
    if device.type == "cuda":
        name, count = torch.cuda.get_device_name(device), world
    else:
        name, count = f"core of {processor()}", os.cpu_count() or 1
    return f"{count} x {name}"


def processor() -> str:
    """Return the kind of this machine's processor: its name, or else its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or platform.machine()
