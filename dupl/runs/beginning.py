"""The beginning that a run took over from another one, as its status keeps it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

LARGEST = 2**53


@dataclass(frozen=True)
class Beginning:
    """The beginning that a run took over from another one.

    Attributes:
        run: Id of the run that trained it.
        folder: Name of that run's folder.
        iteration: Iterations taken over.
        digest: SHA-256 of the checkpoint.
        seconds: Time that training them took, which this run did not spend.
        note: Why the run may differ by rounding from one that is trained from scratch; "" where it is the same bit by
            bit.
    """

    run: str
    folder: str
    iteration: int
    digest: str
    seconds: float
    note: str = ""

    @property
    def told(self) -> str:
        """The beginning in words."""
        note = f"; {self.note}" if self.note else ""
        return f"iterations 0 to {self.iteration} are those of {self.folder}, {self.seconds:.0f} s not spent here{note}"

    @classmethod
    def of(cls, values: Any) -> Beginning | None:
        """Make a beginning of the values in a status file; None of None, and unknown fields are left out.

        Raises:
            TypeError: A field is missing.
            ValueError: A value is of another type or out of range.
        """
        if values is None or isinstance(values, Beginning):
            return values
        names = {field.name for field in fields(cls)}
        known = {key: value for key, value in dict(values).items() if key in names}
        for key, value in known.items():
            number = key in ("iteration", "seconds")
            kinds = (int, float) if key == "seconds" else (int,) if number else (str,)
            if type(value) not in kinds or (number and not 0 <= value < LARGEST):
                raise ValueError(f"{key} of a beginning is {repr(value)[:60]}")
        return cls(**known)
