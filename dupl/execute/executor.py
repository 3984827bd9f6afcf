"""What every executor can do."""

from __future__ import annotations

from typing import Protocol

from dupl.execute.job import Job
from dupl.execute.worker import Order


class Handle(Protocol):
    """One order that was given."""

    def ended(self) -> bool:
        """Whether its worker is no more, or never will be."""

    def error(self) -> str | None:
        """Of a worker that ended: what broke it, in one line; None where it worked, whatever became of the run."""

    def kill(self) -> None:
        """Ends it at once: takes it out of the queue, or kills worker and command."""


class Executor(Protocol):
    """A place where workers run.

    Attributes:
        slots: Orders to give at once.
        queues: Whether an order may wait there before it begins.
        gpus: Of one run.
    """

    slots: int
    queues: bool
    gpus: int

    def submit(self, job: Job, order: Order) -> Handle:
        """Has `dupl.execute.worker.work` called, now or later, in a process of its own."""

    def close(self) -> None:
        """Gives the place back, after all handles have ended."""
