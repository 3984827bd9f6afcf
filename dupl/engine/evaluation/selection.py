"""Selecting the students whose maps are evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dupl.errors import UserError


@dataclass(frozen=True)
class MapSelection:
    """The students whose maps are evaluated.

    Attributes:
        students: Numbers of the students, from 0.
        mean: Whether the average over all students is evaluated too.
        suffix: Suffix of the protocol's name; "" where everything is evaluated.
    """

    students: tuple[int, ...]
    mean: bool
    suffix: str = ""

    @classmethod
    def of(cls, chosen: Sequence[str], count: int) -> MapSelection:
        """Select from "1", "2", ..., "best" (all students, the better one counts) and "mean"; empty for all.

        Raises:
            UserError: The model has no such student.
        """
        known = [*(str(s + 1) for s in range(count)), "best", *["mean"] * (count > 1)]
        if unknown := [name for name in chosen if name not in known]:
            raise UserError(f"student {unknown[0]}: this model has {', '.join(known)}")
        everything = cls(tuple(range(count)), count > 1)
        if not chosen or set(chosen) == set(known):
            return everything
        mean = "mean" in chosen
        students = everything.students if "best" in chosen else tuple(int(c) - 1 for c in known[:count] if c in chosen)
        return cls(students, mean, "-student-" + "-".join(name for name in known if name in chosen))

    def maps(self, kind: str) -> list[str]:
        """Return the names of the maps of a kind: "seg/1", ..., "seg/mean"."""
        return [f"{kind}/{s + 1}" for s in self.students] + [f"{kind}/mean"] * self.mean
