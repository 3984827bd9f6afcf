"""What every executor can do."""

from __future__ import annotations

from typing import Protocol

from dupl.execute.job import Job
from dupl.execute.order import End, Order


class Away(Exception):
    """The place takes no order at the moment, and may do so later; the message says who says what.

    Args:
        text: The message.
        limit: Seconds for which it is asked again while none of the runs is at work; None is no limit.
        advice: What to do after that.
    """

    def __init__(self, text: str, limit: float | None = None, advice: str = "") -> None:
        super().__init__(text)
        self.limit, self.advice = limit, advice


class Handle(Protocol):
    """One order that was given."""

    def ended(self) -> bool:
        """Tell whether its worker is no more, or never will be."""

    def end(self) -> End:
        """Return how an order that has ended ended; a failure where its worker broke."""

    def waits_for(self) -> str:
        """Return why it waits, where that is not its turn alone; "" else."""

    def kill(self) -> None:
        """End it at once: take it out of the queue, or kill worker and command."""


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
        """Have `dupl.execute.worker.work` called, now or later, in a process of its own.

        Raises:
            Away: The place takes no order at the moment.
            UserError: The place refuses this order.
        """

    def close(self) -> None:
        """Give the place back, after all handles have ended."""
