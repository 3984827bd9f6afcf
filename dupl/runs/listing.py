"""List the runs of a store in a second or two, however many: what was read once comes from an index beside them.

The folders remain the truth. A line of the index counts only while the files that it was made of are unchanged: the
status, the run's folder, its folder of evaluations, and the metrics that are listed. A run that is at work is always
read anew. The index may be deleted at any time; a store that cannot be written is read without one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dupl.atomic import atomic_write, read_regular
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.evaluation import StoredEvaluation
from dupl.runs.failures import FOLDER as PLANS
from dupl.runs.ids import VERSION as ID_VERSION
from dupl.runs.planned import recorded
from dupl.runs.selection import last_seen
from dupl.runs.status import ACTIVE, Status
from dupl.runs.store_folders import Known, folders
from dupl.runs.stored_run import StoredRun, open_run

FILE = ".index.json"
VERSION = 4  # of the index
LEAST = 500  # runs from which on an index is worth its file


@dataclass(frozen=True)
class RunLine:
    """What is listed of a run.

    Attributes:
        path: Its folder.
        recipe: What was trained, by the folder's name.
        fingerprint: Its id.
        state: As it is, see `StoredRun`.
        stale: Whether its process ended without updating the status.
        iteration, iterations: Done, and in all.
        seed: Of the run.
        seconds: Of training.
        shared: Seconds of its training that another run spent, as which it began.
        seen: When it ended or was last heard of, in seconds since the epoch.
        size: Bytes of its folder.
        commits: Of its stretches, each with a + where files were changed beside: "a1b2c3d, d4e5f6a+".
        plans: The plans and rows that asked for it.
        judged: Images and classes with truth in that evaluation, of all: "4/6, 3/4"; "" where that is not recorded.
        read: Digest of the data that it read; "" where that is not recorded.
        evaluated: When it was made, in seconds since the epoch; 0 where there is none.
        metrics: Of its last evaluation during training, by name; without those that are no number.
    """

    path: Path
    recipe: str
    fingerprint: str
    state: str
    stale: bool
    iteration: int
    iterations: int | None
    seed: int
    seconds: float
    shared: float
    seen: float
    size: int
    commits: str
    plans: list[tuple[str, str]]
    judged: str
    read: str
    evaluated: float
    metrics: Mapping[str, float]

    @classmethod
    def of(cls, root: str | Path, stored: StoredRun) -> RunLine:
        """Look up what is listed of a run."""
        status, last = stored.status, _listed(stored)
        return cls(
            path=stored.path,
            recipe=stored.recipe,
            fingerprint=stored.fingerprint,
            state=stored.state,
            stale=stored.stale,
            iteration=status.iteration,
            iterations=status.iterations,
            seed=status.seed,
            seconds=status.seconds,
            shared=status.whole_seconds - status.seconds,
            seen=last_seen(stored).timestamp(),
            size=stored.size(),
            commits=_commits(status),
            plans=recorded(root, stored.fingerprint),
            judged=_judged(last),
            read=(last.read or "") if last else "",
            evaluated=last.made if last else 0.0,
            metrics={name: value for name, value in (last.metrics if last else {}).items() if not math.isnan(value)},
        )


KEPT = tuple(field.name for field in fields(RunLine) if field.name not in ("path", "stale"))  # in a row, metrics last


def list_runs(root: str | Path, skipped: dict[Path, str]) -> list[RunLine]:
    """Return a line for each run below a folder, by path.

    Args:
        root: The store.
        skipped: Receives what cannot be read, and why.
    """
    index = Index.read(root)
    asked = _records(root)
    lines, rows = [], dict[str, list[Any]]()
    for folder in sorted(folders(str(root), skipped, index)):
        name = index.name(folder)
        row = index.rows.get(name)
        if row is None or row[0] != stamp(folder, row[1]) or row[2] != asked.get(row[3], 0):
            try:
                stored = open_run(folder)
            except UserError as error:
                skipped[Path(folder)] = str(error)
                continue
            if stored is None:
                continue
            skipped.update(stored.skipped)
            line = RunLine.of(root, stored)
            lasting = stored.status.state not in ACTIVE and not stored.skipped
            row = _row(folder, stored, line, asked) if lasting else None
        else:
            line = _line(folder, row)
        lines.append(line)
        if row is not None:
            rows[name] = row
    if len(lines) >= LEAST and rows != index.rows:
        Index(str(root), rows).write()
    return lines


@dataclass(frozen=True)
class Index(Known):
    """The index of a store.

    Attributes:
        root: The store.
        rows: By the run's folder below the store: stamp, file of the listed metrics, time of the record of its plans,
            fingerprint, then what a line holds.
    """

    root: str
    rows: dict[str, list[Any]]

    @classmethod
    def read(cls, root: str | Path) -> Index:
        """Read the index; an empty one where there is none, or it is of another version or damaged."""
        with suppress(OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            values = json.loads(read_regular(Path(root) / FILE))
            if values["version"] == [VERSION, layout.VERSION, ID_VERSION]:
                names = values["metrics"]
                rows = {name: _unpacked(row, names) for name, row in values["rows"].items()}
                return cls(str(root), rows)
        return cls(str(root), {})

    def write(self) -> None:
        """Write the index, where the store can be written."""
        names: dict[tuple[str, ...], int] = {}
        rows = {name: _packed(row, names) for name, row in self.rows.items()}
        values = {"version": [VERSION, layout.VERSION, ID_VERSION], "metrics": list(names), "rows": rows}
        with suppress(OSError):
            atomic_write(Path(self.root) / FILE, json.dumps(values, separators=(",", ":")))

    def has(self, folder: str) -> bool:
        """Tell whether a folder held a run, and still has a status."""
        return self.name(folder) in self.rows and os.path.exists(f"{folder}/{layout.STATUS}")

    def name(self, folder: str) -> str:
        """Return a folder below the store without the store's own path."""
        return folder[len(self.root) :].lstrip("/") or "."

    def real_paths(self) -> Iterator[str]:
        """Yield the real paths of the folders that the index has."""
        return (os.path.realpath(os.path.join(self.root, name)) for name in self.rows)


def stamp(folder: str, metrics: str) -> list[int]:
    """Return what changes when the files behind a line do.

    Args:
        folder: Of the run.
        metrics: The file of the listed metrics, below the folder; "" where there is none.
    """
    found: list[int] = []
    for name in (layout.STATUS, "", layout.EVALUATIONS, metrics):
        try:
            stat = os.stat(f"{folder}/{name}")
            found += (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        except OSError:
            found.append(0)
    return found


def _listed(stored: StoredRun) -> StoredEvaluation | None:
    """Return the evaluation whose metrics are listed of a run: the last one by the protocol of training."""
    found = [one for one in stored.evaluations if one.protocol == "train" and one.last]
    return found[-1] if found else None


def _judged(last: StoredEvaluation | None) -> str:
    """Return the images and classes that an evaluation judged, of all."""
    counts = last.judged if last is not None else None
    return "" if counts is None else f"{counts.images}/{counts.of_images}, {counts.classes}/{counts.of_classes}"


def _commits(status: Status) -> str:
    of_start = [(status.commit, status.dirty)]
    pairs = [(one.commit, one.dirty) for one in status.history if one.commit] or of_start
    return ", ".join(dict.fromkeys((commit or "–")[:7] + "+" * bool(dirty) for commit, dirty in pairs))


def _records(root: str | Path) -> dict[str, int]:
    """Return when the record of the plans of each fingerprint was written."""
    try:
        with os.scandir(Path(root) / PLANS) as entries:
            ending = ".rows.json"
            return {
                entry.name[: -len(ending)]: entry.stat().st_mtime_ns for entry in entries if entry.name.endswith(ending)
            }
    except OSError:
        return {}


def _row(folder: str, stored: StoredRun, line: RunLine, asked: Mapping[str, int]) -> list[Any]:
    last = _listed(stored)
    metrics = f"{layout.EVALUATIONS}/{last.folder.name}/{layout.METRICS}" if last else ""
    facts = {**vars(line), "plans": [list(pair) for pair in line.plans], "metrics": dict(line.metrics)}
    values = (facts[name] for name in KEPT)
    return [stamp(folder, metrics), metrics, asked.get(stored.fingerprint, 0), stored.fingerprint, *values]


def _line(folder: str, row: list[Any]) -> RunLine:
    facts = dict(zip(KEPT, row[4:], strict=True))
    facts["plans"] = [(str(plan), str(name)) for plan, name in facts["plans"]]
    return RunLine(path=Path(folder), stale=False, **facts)


def _packed(row: list[Any], names: dict[tuple[str, ...], int]) -> list[Any]:
    """Return a row whose metrics are numbers alone; their names are shared by all rows."""
    *facts, metrics = row
    return [*facts, names.setdefault(tuple(metrics), len(names)), list(metrics.values())]


def _unpacked(row: list[Any], names: list[list[str]]) -> list[Any]:
    *facts, which, values = row
    return [*facts, dict(zip(names[which], values, strict=True))]
