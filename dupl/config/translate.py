"""Translate the config that an earlier version stored to the values that recipes have now."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

THREADS = {"demo-toy": 2, "demo-supervised": 2}  # of torch on a CPU, by recipe, where a run did not record them; else 1
GONE = ("per_gpu", "accumulate", "allow_other_batch")  # every schedule of version 0.1 had them
REPLACED = {
    "schedule.per_gpu": "schedule.images_per_loss",
    "schedule.accumulate": "schedule.images_per_loss",
    "schedule.allow_other_batch": "schedule.batch_size and schedule.images_per_loss",
    "runtime.amp": "runtime.precision",
}


class Hardware(NamedTuple):
    """What a run computed on, as far as its status says.

    Attributes:
        cuda: Whether on GPUs.
        processes: Their number; None on a CPU, where it was not recorded.
        kind: Of the GPU or the processor; "" where that is not known.
    """

    cuda: bool
    processes: int | None
    kind: str

    @classmethod
    def of(cls, machine: str | None) -> Hardware:
        """Parse the ``machine`` of a status: "2 x NVIDIA H200", or "16 x core of AMD EPYC"."""
        count, _, name = (machine or "").partition(" x ")
        cuda = bool(name) and not name.startswith("core of")
        processes = int(count) if cuda and count.isdecimal() and int(count) else None
        return cls(cuda, processes, name.removeprefix("core of "))


def translate(values: Mapping[str, Any], *, machine: str | None = None, recipe: str = "") -> dict[str, Any]:
    """Return the config of a stored run in the values that recipes have now; a config of today stays as it is.

    The fingerprint of the result is the id that the run has today.

    - ``runtime.amp`` becomes ``runtime.precision``: "auto" was "bf16" on CUDA and "off" on a CPU.
    - ``schedule.per_gpu``, ``accumulate`` and ``allow_other_batch`` become ``schedule.images_per_loss``. Where the
      config left it to the number of processes, that is taken from the status: known on GPUs, taken as 1 on a CPU.
    - ``runtime.threads``, which was not recorded, is that of the shipped recipe.

    Args:
        values: The stored config.
        machine: ``machine`` of the run's status; None where it is not known, which is taken for a CPU.
        recipe: Name of the recipe as folders have it, such as "demo-toy".
    """
    new, hardware = copy.deepcopy(dict(values)), Hardware.of(machine)
    if isinstance(schedule := new.get("schedule"), dict):
        new["schedule"] = _schedule(schedule, hardware.processes or 1)
    if isinstance(runtime := new.get("runtime"), dict) and "precision" not in runtime:
        new["runtime"] = _runtime(runtime, hardware.cuda, THREADS.get(recipe, 1))
    return new


def images_per_loss_recorded(values: Mapping[str, Any]) -> bool:
    """Return whether a stored config says over how many images a loss takes its means.

    Args:
        values: The config as it is stored, before `translate`.
    """
    schedule = values.get("schedule")
    return not isinstance(schedule, Mapping) or not any(key in schedule for key in GONE)


def replacement(path: str) -> str | None:
    """Return what replaces a value that recipes no longer have; None where it was never one."""
    return REPLACED.get(path)


def _schedule(old: Mapping[str, Any], processes: int) -> dict[str, Any]:
    if "batch_size" not in old or not any(key in old for key in GONE):
        return dict(old)
    new: dict[str, Any] = {}
    parts = processes * int(old.get("accumulate") or 1)
    images = int(old.get("per_gpu") or max(1, old["batch_size"] // parts))
    for key, value in old.items():
        if key == "batch_size":
            new["batch_size"] = images * parts if old.get("allow_other_batch") else value
            new["images_per_loss"] = images
        elif key not in GONE:
            new[key] = value
    return new


def _runtime(old: Mapping[str, Any], cuda: bool, threads: int) -> dict[str, Any]:
    new: dict[str, Any] = {}
    for key, value in old.items():
        if key == "amp":
            new["precision"] = ("bf16" if cuda else "off") if value == "auto" else value
            new["threads"] = threads
        else:
            new[key] = value
    return new
