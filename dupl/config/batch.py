"""The batch of one optimiser step: how the processes of a run share its losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dupl.errors import UserError


@dataclass(frozen=True)
class Batch:
    """The images of one optimiser step.

    Attributes:
        processes: Number of processes.
        losses: Losses that each process computes in a step, one after the other.
        images_per_loss: Images over which one loss takes its means.
    """

    processes: int
    losses: int
    images_per_loss: int

    @property
    def images(self) -> int:
        """Number of images of one optimiser step, over all processes."""
        return self.processes * self.images_of_process

    @property
    def images_of_process(self) -> int:
        """Number of images of one optimiser step in one process."""
        return self.losses * self.images_per_loss

    def __str__(self) -> str:
        """Describe the batch for messages."""
        parts = ((self.processes, "process", "processes"), (self.losses, "loss", "losses"))
        counts = [f"{count} {one if count == 1 else many}" for count, one, many in parts]
        return f"batch {self.images} = {' x '.join(counts)} x {self.images_per_loss} images per loss"


def plan_batch(schedule: Mapping[str, Any], processes: int = 1) -> Batch:
    """Share the losses of one optimiser step among processes.

    Args:
        schedule: The recipe's schedule: batch_size, images_per_loss.
        processes: Number of processes.

    Raises:
        UserError: ``images_per_loss`` does not divide ``batch_size``, or the processes cannot share the losses equally.
    """
    size, images = schedule["batch_size"], schedule["images_per_loss"]
    if size % images:
        raise UserError(
            f"schedule.batch_size is {size} and schedule.images_per_loss {images}: the batch must be a multiple; "
            f"set images_per_loss to {listed(divisors(size))}, or another batch_size"
        )
    losses = size // images
    if losses % processes:
        raise UserError(
            f"{processes} processes cannot share a step of {losses} {'loss' if losses == 1 else 'losses'} equally "
            f"(schedule.batch_size={size} / schedule.images_per_loss={images}): start {listed(divisors(losses))}"
        )
    return Batch(processes, losses // processes, images)


def divisors(number: int) -> list[int]:
    """Return the divisors of a positive number, in order."""
    return [n for n in range(1, number + 1) if number % n == 0]


def listed(numbers: list[int]) -> str:
    """Join numbers as alternatives: "1, 2 or 4"."""
    first = ", ".join(map(str, numbers[:-1]))
    return f"{first} or {numbers[-1]}" if first else str(numbers[-1])
