"""Choosing backbone, size, batch and length of a training for the machine that it runs on."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from dupl.terminal import counted

PASSES = 30  # over the training photos
FEWEST = 300  # iterations, so that every component acts for a while
GIB = 1 << 30
LARGE = 20  # GiB of a GPU; the released code trained DeiT-B at 448 px on GPUs of 24 GB


@dataclass(frozen=True)
class Suggestion:
    """What to train on this machine.

    Attributes:
        base: The recipe to build on.
        values: New values of it by path.
        reason: Backbone and size, and why, in one line.
    """

    base: str
    values: dict[str, object]
    reason: str


def suggest_network() -> Suggestion:
    """Choose a network and an image size by the memory of the GPU, or for a CPU where there is none."""
    if not torch.cuda.is_available():
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        reason = f"DeiT-tiny at 160 px, because torch sees no GPU; {counted(cores, 'thread')}"
        return Suggestion("_base_/photos_tiny", {"runtime.threads": cores}, reason)
    properties = torch.cuda.get_device_properties(0)
    memory = properties.total_memory / GIB
    where = f"{properties.name} with {memory:.0f} GiB"
    if memory >= LARGE:
        return Suggestion("voc/dupl", {}, f"DeiT-B at 448 px, as the paper, on {where}")
    smaller: dict[str, object] = {
        "model.network.backbone.name": "deit_small_patch16_224.fb_in1k",
        "data.augment.crop": 320,
        "evaluation.size": 320,
    }
    return Suggestion("voc/dupl", smaller, f"DeiT-small at 320 px, because {where} is below {LARGE} GiB")


def suggest_iterations(photos: int, batch: int, most: int) -> int:
    """Return how long to train: a number of passes over the photos, in hundreds, within bounds.

    Args:
        photos: For training.
        batch: Photos per iteration.
        most: The recipe's own number of iterations, which is never exceeded.
    """
    return min(most, max(FEWEST, 100 * round(PASSES * photos / batch / 100)))
