"""The base class of the switchable components of a method."""

from __future__ import annotations

from typing import ClassVar

from dupl.config.kinds import Start
from dupl.structures import Clock


class Component:
    """A part of a method that a recipe can replace, switch off or start late.

    A component is switched off by its null partner, a class of the same slot whose ``null`` is True.

    Args:
        start: First iteration at which the component acts, at least 0.

    Raises:
        ValueError: ``start`` is negative.
    """

    null: ClassVar[bool] = False

    def __init__(self, start: Start = 0) -> None:
        if start < 0:
            raise ValueError(f"{type(self).__name__}.start is {start}: an iteration is at least 0")
        self.start = start

    def active(self, clock: Clock) -> bool:
        """Return whether the component acts at this iteration; a null partner never does."""
        return not self.null and clock.t >= self.start
