"""Find the runs whose workloads are nearest to another one, among thousands."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

MANY = 10**6  # more than the paths in which two workloads can differ

if TYPE_CHECKING:
    from dupl.runs.stored_run import StoredRun
    from dupl.runs.workload import Workload


class Similar:
    """Runs whose workloads are comparable, and the nearest ones to a workload.

    Args:
        members: The runs with their workloads, at least one.
    """

    def __init__(self, members: Sequence[tuple[StoredRun, Workload]]) -> None:
        here = socket.gethostname()
        self.runs = [run for run, _ in members]
        self.elsewhere = np.array([run.status.host != here for run in self.runs], np.int64)
        self.types = Table([own.types for _, own in members])
        self.rest = Table([own.rest for _, own in members])
        self.chosen: dict[bytes, list[StoredRun]] = {}

    def nearest(self, asked: Workload) -> tuple[list[StoredRun], bool]:
        """Return the runs nearest to a workload, and whether they differ from it in nothing that takes time."""
        types, rest = self.types.distances(asked.types), self.rest.distances(asked.rest)
        ranks = (self.elsewhere * MANY + types) * MANY + rest
        nearest = int(ranks.min())
        chosen = np.flatnonzero(ranks == nearest)
        key = chosen.tobytes()
        if key not in self.chosen:
            self.chosen[key] = [self.runs[i] for i in chosen]
        return self.chosen[key], nearest % MANY**2 == 0


class Table:
    """Texts by path of many workloads as numbers, so that one workload is compared with all at once.

    Args:
        rows: The texts by path, one mapping for each workload.
    """

    def __init__(self, rows: Sequence[Mapping[str, str]]) -> None:
        self.paths = list(dict.fromkeys(path for row in rows for path in row))
        codes: dict[tuple[str, str], int] = {}
        numbers = [
            [codes.setdefault((p, row[p]), len(codes) + 1) if p in row else 0 for p in self.paths] for row in rows
        ]
        self.codes = codes  # 0 stands for a path that a workload lacks
        self.numbers = np.array(numbers, np.int64).reshape(len(rows), len(self.paths))

    def distances(self, asked: Mapping[str, str]) -> Any:
        """Return in how many paths each workload differs from another one."""
        row = [self.codes.get((path, asked[path]), -1) if path in asked else 0 for path in self.paths]
        return (self.numbers != np.array(row, np.int64)).sum(axis=1) + len(asked.keys() - set(self.paths))
