"""What every switchable component of the method shares: the iteration it starts at."""

from __future__ import annotations

from dupl.config.kinds import Start
from dupl.structures import Clock


class Component:
    """A part of the method that may start late.

    Args:
        start: First iteration at which it acts.
    """

    null = False  # True for the partner that a switched-off component is replaced by

    def __init__(self, start: Start = 0) -> None:
        if start < 0:
            raise ValueError(f"{type(self).__name__}.start is {start}: an iteration is at least 0")
        self.start = start

    def active(self, clock: Clock) -> bool:
        """Whether it acts at this iteration."""
        return not self.null and clock.t >= self.start
