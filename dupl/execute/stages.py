"""Group runs that share a beginning: each run forks from the earlier run that trains the longest part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fork:
    """Where a run leaves another one.

    Attributes:
        parent: Id of the run that trains the shared beginning.
        iteration: Number of iterations that both have in common, at least 1.
    """

    parent: str
    iteration: int


def forks_of(runs: Mapping[str, Mapping[int, str]]) -> dict[str, Fork]:
    """Find for each run the earlier run with the longest common beginning.

    Each part of the tree is trained by one run, the first in order that has it, so no part is trained twice.

    Args:
        runs: The ``beginnings`` of each run by its id, in the order in which they are to be trained.

    Returns:
        By id; a run that shares nothing with an earlier one is left out.
    """
    trained: dict[str, dict[int, tuple[str, int]]] = {}  # by digest: who trained it, from where, by its last iteration
    forks: dict[str, Fork] = {}
    for name, digests in runs.items():
        first = 0
        for last, digest in digests.items():
            known = trained.setdefault(digest, {})
            for end, (parent, begin) in known.items():
                shared = min(end, last)
                if shared > max(begin, first) and (name not in forks or shared > forks[name].iteration):
                    forks[name] = Fork(parent, shared)
            known.setdefault(last, (name, first))
            first = last
    return forks


def iterations_left(runs: Mapping[str, Mapping[int, str]], forks: Mapping[str, Fork]) -> int:
    """Count the iterations that runs train where each begins at its fork.

    Args:
        runs: The ``beginnings`` of each run by its id.
        forks: Where runs begin; the others begin at 0.
    """
    return sum(max(digests) - (forks[name].iteration if name in forks else 0) for name, digests in runs.items())
