"""The status of a run: what it is doing, how far it is, and what made it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, get_args

from dupl.config.translate import Hardware
from dupl.errors import UserError
from dupl.runs import ids, layout, stretches
from dupl.runs.beginning import Beginning
from dupl.runs.files import CorruptFile, read_json, write_json
from dupl.runs.stretches import Stretch
from dupl.terminal import without_passwords

State = Literal["created", "running", "finished", "failed", "interrupted"]
LAYOUT = layout.VERSION
ACTIVE = ("created", "running")
ENDED = ("finished", "failed", "interrupted")


@dataclass(frozen=True)
class Status:
    """What the status file of a run holds.

    Attributes:
        state: created, running, finished, failed (by an error) or interrupted (by a person or a signal).
        fingerprint: Id of the run; as read, the id of today.
        command: The command line, as a list.
        seed: The seed of everything random.
        created, started, ended: Times in ISO 8601, UTC.
        seconds: Time spent in training so far, over all resumptions.
        iteration, iterations: Training steps done, and of the whole run.
        host, pid: Where the run is or was at work.
        machine: What it computes or computed on, in words.
        commit, dirty: Git commit of the code at the start, and whether it had uncommitted changes (which the run's
            folder keeps); None where it is not known.
        versions: Versions of Python and of the packages that matter at the start; None where one is not installed.
        error: Why the run failed, in one line.
        beginning: What it took over from another run; None where nothing.
        layout: Version of the run's files; a status without it is of version 1.
        id_version: Version of the rule that made the fingerprint, see `dupl.runs.ids`.
        stretches: What computed which iterations; see `history`.
    """

    state: State
    fingerprint: str
    command: list[str]
    seed: int
    created: str
    started: str | None = None
    ended: str | None = None
    seconds: float = 0.0
    iteration: int = 0
    iterations: int | None = None
    host: str | None = None
    pid: int | None = None
    machine: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    versions: dict[str, str | None] | None = None
    error: str | None = None
    beginning: Beginning | None = None
    layout: int = LAYOUT
    id_version: int = 1
    stretches: tuple[Stretch, ...] = ()

    def __post_init__(self) -> None:
        if self.state not in get_args(State):
            raise ValueError(f"there is no state {self.state!r}, only {', '.join(get_args(State))}")

    @property
    def whole_seconds(self) -> float:
        """Time that training up to here takes, with that of a beginning that another run trained."""
        return self.seconds + (self.beginning.seconds if self.beginning else 0.0)

    @property
    def history(self) -> tuple[Stretch, ...]:
        """What computed which iterations; of a run of an earlier version, which recorded its start alone, one entry."""
        if self.stretches or not (self.iteration or self.machine):
            return self.stretches
        computed_on = Hardware.of(self.machine)
        return (
            Stretch(
                end=self.iteration,
                seconds=self.seconds,
                began=self.started,
                commit=self.commit,
                dirty=self.dirty,
                changes="" if self.dirty is False else None,
                versions=self.versions,
                processes=computed_on.processes,
                host=self.host,
                machine=self.machine,
                processor=computed_on.kind or None,
            ),
        )


TYPES: dict[str, Any] = {  # of the values that other code relies on
    "fingerprint": str,
    "command": list,
    "seed": int,
    "created": str,
    "started": (str, type(None)),
    "ended": (str, type(None)),
    "seconds": (int, float),
    "iteration": int,
    "iterations": (int, type(None)),
    "host": (str, type(None)),
    "pid": (int, type(None)),
    "machine": (str, type(None)),
    "commit": (str, type(None)),
    "dirty": (bool, type(None)),
    "versions": (dict, type(None)),
    "error": (str, type(None)),
    "id_version": int,
}
LARGEST = 2**53  # a larger number, or NaN, is an error


def exists(folder: Path) -> bool:
    """Whether a folder holds a run; the status is the last file that the creation of a run writes."""
    return (folder / layout.STATUS).exists()


def written_at(folder: str | Path) -> float:
    """Return when the status of a run was last written, in seconds since the epoch.

    Raises:
        OSError: It is missing or out of reach.
    """
    return os.stat(os.path.join(folder, layout.STATUS)).st_mtime


def read_status(folder: Path) -> Status:
    """Read and validate the status of a run, with the id that the run has today.

    Args:
        folder: The folder of the run.

    Raises:
        UserError: The folder holds no run, or a run of a newer version.
        CorruptFile: The status cannot be read.
    """
    return _with_current_id(folder, _read(folder))


def _with_current_id(folder: Path, status: Status) -> Status:
    name = ids.current(folder, status.fingerprint, status.id_version, status.machine)
    return replace(status, fingerprint=name)


def _read(folder: Path) -> Status:
    path = folder / layout.STATUS
    values = read_json(path)
    try:
        version = values.get("layout", 1)
        if type(version) is not int or version < 1:
            raise ValueError(f"layout is {version!r}")
        if version <= layout.VERSION:
            return _parse(values)
    except (AttributeError, TypeError, ValueError) as error:
        raise CorruptFile(f"{path} is corrupt: {error}") from None
    raise UserError(
        f"{path} is of layout {version}, this version reads up to {layout.VERSION}: "
        "update dupl (pip install -U dupl-lab)"
    )


def write_status(folder: Path, status: Status) -> None:
    """Write the status of a run, whole or not at all."""
    write_json(folder / layout.STATUS, asdict(status))


def update_status(folder: Path, changes: Mapping[str, Any]) -> Status:
    """Change fields of the status on disk, all at once.

    The state "running" also sets host and pid, and `started` if it is the first time, and clears the end of an earlier
    attempt. A state that ends a run sets `ended`. An error is stored as one line.

    Args:
        folder: The folder of the run.
        changes: New values by field.

    Returns:
        The new status.

    Raises:
        UserError: As `read_status`.
    """
    status, changes = _read(folder), dict(changes)
    state = changes.get("state")
    if state == "running":
        here = {"host": socket.gethostname(), "pid": os.getpid(), "ended": None, "error": None}
        changes = {"started": status.started or now(), **here, **changes}
    elif state in ENDED:
        changes = {"ended": now(), **changes}
    if changes.get("error"):
        changes["error"] = " ".join(str(changes["error"]).split())
    if "stretches" in changes:
        changes["stretches"] = tuple(map(Stretch.of, changes["stretches"]))
    elif "iteration" in changes or "seconds" in changes:
        iteration, seconds = (changes.get(name, getattr(status, name)) for name in ("iteration", "seconds"))
        changes["stretches"] = stretches.reached(status.stretches, iteration, seconds)
    status = replace(status, **changes)
    write_status(folder, status)
    return _with_current_id(folder, status)


def command_line(words: Any) -> Any:
    """Return a command line as it is recorded: the script by its name, ``dupl`` for ours, without passwords."""
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        return words
    script = Path(words[0])
    name = "dupl" if script.name == "__main__.py" and script.parent.name == "dupl" else script.name
    return [name, *map(without_passwords, words[1:])]


def now() -> str:
    """Return the time in ISO 8601, UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _parse(values: Mapping[str, Any]) -> Status:
    """Make a status of the values of its file; fields that this version does not know are left out.

    Raises:
        TypeError: A field is missing.
        ValueError: A value is of another type or out of range.
    """
    names = {field.name for field in fields(Status)}
    known = {key: value for key, value in {**values, "layout": layout.VERSION}.items() if key in names}
    known["command"] = command_line(known.get("command"))
    known["beginning"] = Beginning.of(known.get("beginning"))
    known["stretches"] = tuple(map(Stretch.of, known.get("stretches", ())))
    status = Status(**known)
    for name, types in TYPES.items():
        if not _valid(value := getattr(status, name), types):
            raise ValueError(f"{name} is {repr(value)[:60]}")
    return status


def _valid(value: object, types: Any) -> bool:
    if isinstance(value, (list, dict)):  # the command, and versions
        words = value if isinstance(value, list) else [*value, *filter(None, value.values())]
        return isinstance(value, types) and all(isinstance(word, str) for word in words)
    return isinstance(value, types) and not (isinstance(value, (int, float)) and not abs(value) < LARGEST)
