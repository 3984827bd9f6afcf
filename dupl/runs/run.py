"""A run: one folder of plain files, every one written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from dupl import cells
from dupl.atomic import atomic_write
from dupl.config.fingerprint import fingerprint as digest
from dupl.errors import UserError
from dupl.runs import provenance

if TYPE_CHECKING:
    from mmengine.config import Config

State = Literal["created", "running", "finished", "failed", "interrupted"]
ENDED = ("finished", "failed", "interrupted")
LAYOUT = 1  # of a run's folder; it rises when this version's files could not be read by the one before
WORDS = ("config.py", "status.json", "scalars.jsonl", "data.json", "git.diff")
DRAFTED = (*WORDS, "evaluation/iter_*/*", "gallery/*", "*.png")  # what training writes by way of drafts


class Damaged(UserError):
    """A file of a run that cannot be read, though it is there."""


def folder_name(recipe: str | Path, config: Config | Mapping[str, Any]) -> str:
    """How the folder of a run is called unless told otherwise: ``RECIPE-FINGERPRINT``, one word.

    Args:
        recipe: A name such as "voc/dupl", or a file.
        config: The recipe with its overrides.
    """
    name = Path(recipe).with_suffix("").as_posix().strip("./").replace("/", "-")
    return f"{name}-{digest(config)}"


@dataclass(frozen=True)
class Status:
    """What status.json holds.

    Attributes:
        state: created, running, finished, failed (by an error) or interrupted (by a person or a signal).
        fingerprint: Id of the resolved config.
        command: The command line, as a list.
        seed: The seed of everything random.
        created, started, ended: Times in ISO 8601, UTC.
        seconds: Time spent in training so far, over all resumptions.
        iteration, iterations: Training steps done, and of the whole run.
        host, pid: Where the run is or was at work.
        machine: What it computes or computed on, in words.
        commit, dirty: Git commit of the code, and whether it had changes (saved in git.diff); None where the
            code is no checkout.
        versions: Versions of Python and of the packages that matter; None where one is not installed.
        error: Why the run failed, in one line.
        layout: Of the run's files; a status without it is of layout 1.
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
    layout: int = LAYOUT

    def __post_init__(self) -> None:
        if self.state not in get_args(State):
            raise ValueError(f"there is no state {self.state!r}, only {', '.join(get_args(State))}")


KINDS: dict[str, Any] = {  # what of a status other code relies on
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
}
MOST = 2**53  # of any number in it


def _sound(value: object, kind: Any) -> bool:
    if isinstance(value, (list, dict)):  # the command, and versions
        words = value if isinstance(value, list) else [*value, *filter(None, value.values())]
        return isinstance(value, kind) and all(isinstance(word, str) for word in words)
    return isinstance(value, kind) and not (isinstance(value, (int, float)) and not abs(value) < MOST)


class Run:
    """A run folder: config.py, status.json, scalars.jsonl, git.diff and whatever else the run writes.

    One process writes to a run; any number may read it meanwhile.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        """Points at a folder, without looking into it."""
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | Path, config_text: str, fingerprint: str, command: Sequence[str], seed: int) -> Run:
        """Starts a run folder with the resolved config and where code and command come from.

        Args:
            path: The folder; it may be there, but not hold a run.
            config_text: The resolved config, as `dupl.config.catalogue.to_text` writes it.
            fingerprint: Id of the resolved config.
            command: The command line that started the run.
            seed: The run's seed.

        Raises:
            UserError: The folder holds a run already.
        """
        run = cls(path)
        if run.exists():
            raise UserError(f"{run.path} holds a run already: resume it, or choose another folder")
        code = provenance.code()
        run.write_text("config.py", config_text)
        if code.diff:
            run.write_text("git.diff", code.diff)
        run._write_status(
            Status(
                state="created",
                fingerprint=fingerprint,
                command=list(command),
                seed=seed,
                created=_now(),
                host=socket.gethostname(),
                pid=os.getpid(),
                commit=code.commit,
                dirty=code.dirty,
                versions=provenance.versions(),
            )
        )
        return run

    def exists(self) -> bool:
        """Whether the folder holds a run; its status is the last file that `create` writes."""
        return (self.path / "status.json").exists()

    @property
    def config_path(self) -> Path:
        """The resolved config, a recipe to load."""
        return self.path / "config.py"

    @property
    def status(self) -> Status:
        """The status as it stands on disk.

        Raises:
            UserError: The folder holds no run, or one of a newer version.
            Damaged: Its status cannot be read.
        """
        path = self.path / "status.json"
        try:
            values = self.read_json("status.json")
            names = {field.name for field in fields(Status)}
            layout = values.get("layout", 1)
            if type(layout) is not int or layout < 1:
                raise ValueError(f"layout is {layout!r}")
            if layout <= LAYOUT:
                status = Status(**{key: value for key, value in {**values, "layout": LAYOUT}.items() if key in names})
                for name, kind in KINDS.items():
                    if not _sound(value := getattr(status, name), kind):
                        raise ValueError(f"{name} is {repr(value)[:60]}")
                return status
        except (AttributeError, TypeError, ValueError) as error:
            raise Damaged(f"{path} is damaged: {error}") from None
        raise UserError(
            f"{path} is of layout {layout}, this version knows up to {LAYOUT}: update dupl (pip install -U dupl-lab)"
        )

    def update(self, **changes: Any) -> Status:
        """Changes fields of the status on disk, all at once, and returns it.

        The state "running" also sets `started` if it is the first time, host and pid, and clears the end of
        an earlier attempt; a state that ends a run sets `ended`. An error is kept as one line.

        Raises:
            UserError: As `status`.
        """
        status = self.status
        state = changes.get("state")
        if state == "running":
            here = {"host": socket.gethostname(), "pid": os.getpid(), "ended": None, "error": None}
            changes = {"started": status.started or _now(), **here, **changes}
        elif state in ENDED:
            changes = {"ended": _now(), **changes}
        if changes.get("error"):
            changes["error"] = " ".join(str(changes["error"]).split())
        status = replace(status, **changes)
        self._write_status(status)
        return status

    def _write_status(self, status: Status) -> None:
        self.write_json("status.json", asdict(status))

    def append_scalars(self, row: Mapping[str, Any]) -> None:
        """Adds one row to scalars.jsonl; numbers that are not finite are written as null.

        Args:
            row: Values by name; "iter" is the iteration they belong to.
        """
        line = json.dumps(_jsonable(row), allow_nan=False) + "\n"
        with open(self.path / "scalars.jsonl", "ab+") as file:
            if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)  # cuts off what a killed process had begun
            file.write(line.encode())

    def scalars_text(self) -> str:
        """The lines of scalars.jsonl as they are, "" before the first; a last one without its end is not one yet."""
        try:
            data = (self.path / "scalars.jsonl").read_bytes()
        except FileNotFoundError:
            return ""
        return data[: data.rfind(b"\n") + 1].decode(errors="replace")

    def scalars(self) -> list[dict[str, Any]]:
        """The rows of scalars.jsonl, [] before the first.

        Raises:
            Damaged: A line is.
        """
        path = self.path / "scalars.jsonl"
        *lines, _ = self.scalars_text().split("\n")
        rows = []
        for number, line in enumerate(lines, 1):
            try:
                rows.append(dict(json.loads(line)))
            except (TypeError, ValueError, RecursionError):
                raise Damaged(f"{path}, line {number} is damaged: no JSON object") from None
        return rows

    def clear_drafts(self) -> None:
        """Removes what a killed process had begun to write; for the one process that writes to the run."""
        for pattern in DRAFTED:
            folder, _, name = pattern.rpartition("/")
            for draft in self.path.glob(f"{folder}/.{name}.*".lstrip("/")):
                if len(draft.suffix) == 33:  # as atomic_write names them
                    draft.unlink(missing_ok=True)

    def truncate_scalars(self, after_iteration: int, known: str = "") -> int:
        """Drops the rows after an iteration, which a resumed run will write again.

        Args:
            after_iteration: The last one to keep.
            known: The file's text as it was then; it is written where rows of it are missing or damaged.

        Returns:
            How many rows had to be written anew.
        """
        wanted = known.splitlines()
        try:
            rows = [json.dumps(row) for row in self.scalars() if row.get("iter", 0) <= after_iteration]
        except Damaged:
            if known or after_iteration == 0:
                rows = []
            else:
                raise
        lost = sum(1 for row, line in zip_longest(rows[: len(wanted)], wanted) if row != line)
        self.write_text("scalars.jsonl", "".join(f"{row}\n" for row in (wanted if lost else rows)))
        return lost

    def write_text(self, name: str, text: str) -> Path:
        """Writes a file of the run, whole or not at all, and returns its path."""
        path = self.path / name
        atomic_write(path, text)
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """Writes a JSON file of the run; numbers that are not finite become null."""
        return self.write_text(name, json.dumps(_jsonable(value), indent=2, allow_nan=False) + "\n")

    def write_csv(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
        """Writes a CSV file of the run, a header first; NaN and None are empty cells, text as `dupl.cells` has it.

        Raises:
            ValueError: A row has not one value for each column.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(cells.written, columns))
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"{name}: {len(row)} values for {len(columns)} columns: {row!r}")
            writer.writerow([cells.written(_jsonable(cell)) for cell in row])
        return self.write_text(name, text.getvalue())

    def read_json(self, name: str) -> Any:
        """Reads a JSON file of the run.

        Raises:
            UserError: It is missing.
            Damaged: It cannot be read.
        """
        path = self.path / name
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            raise UserError(f"{self.path} holds no {name}: is it the folder of a run?") from None
        except (OSError, ValueError, RecursionError) as error:
            raise Damaged(f"{path} is damaged: {error}") from None


def _jsonable(value: Any) -> Any:
    """The value as JSON knows it: numpy scalars as Python's, tuples as lists, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "item"):
        return _jsonable(value.item())
    return value


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
