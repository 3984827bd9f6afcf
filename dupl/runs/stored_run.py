"""One run of a store, as its files stand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.errors import UserError
from dupl.runs import ids, layout
from dupl.runs.best_weights import BestWeights, has_best, recorded_best
from dupl.runs.config import read_config
from dupl.runs.evaluation import Skipped, StoredEvaluation, choose_speaking, read_evaluations
from dupl.runs.process import at_work
from dupl.runs.run import Run
from dupl.runs.status import ACTIVE, State, Status, written_at
from dupl.runs.workload import Workload, workload_of_file

if TYPE_CHECKING:
    from mmengine.config import Config


@dataclass(frozen=True)
class StoredRun:
    """A run as it was found.

    Attributes:
        run: Its folder.
        status: As it stands on disk.
        state: As it is: "interrupted" where the status says created or running and the process is gone.
        written: When the status was last written, in seconds since the epoch.
    """

    run: Run
    status: Status
    state: State
    written: float

    @property
    def path(self) -> Path:
        """The folder."""
        return self.run.path

    @property
    def fingerprint(self) -> str:
        """Id of the run: of its config and of the data that it was trained on."""
        return self.status.fingerprint

    @property
    def stale(self) -> bool:
        """Whether the process ended without updating the status."""
        return self.state != self.status.state

    @property
    def recipe(self) -> str:
        """The recipe, by the folder's name without the fingerprint."""
        return ids.recipe_of(self.path.name, self.fingerprint)

    @property
    def seconds_per_iteration(self) -> float | None:
        """Mean over the training so far, with a beginning of another run and without evaluation; None before any."""
        status, seconds = self.status, self.status.whole_seconds
        return seconds / status.iteration if status.iteration > 0 and seconds > 0 else None

    @cached_property
    def config(self) -> Config:
        """The resolved config; reading it takes a while.

        Raises:
            UserError: The config is corrupt.
        """
        return read_config(self.run.path)

    @cached_property
    def workload(self) -> Workload | None:
        """What an iteration of it consists of; None where the config is corrupt."""
        return workload_of_file(self.run.config_path)

    @cached_property
    def best_weights(self) -> BestWeights | None:
        """The weights that training kept as the best; None where no record says which."""
        return recorded_best(self.path)

    @property
    def has_best(self) -> bool:
        """Whether it kept best weights."""
        return has_best(self.path)

    @cached_property
    def _read(self) -> tuple[list[StoredEvaluation], Skipped]:
        return read_evaluations(self.path)

    @property
    def evaluations(self) -> list[StoredEvaluation]:
        """Its complete evaluations, read once."""
        return self._read[0]

    @property
    def skipped(self) -> Skipped:
        """Its corrupt evaluations, and why they are."""
        return self._read[1]

    def evaluated_on(self, read: Mapping[tuple[str, str], str]) -> StoredRun:
        """Return the run with one choice of evaluations: those on other data speak for it no longer.

        Args:
            read: Digest of the data by protocol and split, see `StoredEvaluation.read`.
        """
        fitting = [one for one in self.evaluations if one.read == read.get((one.protocol, one.split), one.read)]
        others = [replace(one, last=False, best=False) for one in self.evaluations if one not in fitting]
        chosen = replace(self)
        chosen.__dict__["_read"] = [*choose_speaking(fitting, [], self.best_weights), *others], self.skipped
        return chosen

    def size(self) -> int:
        """Return the bytes of all files in the folder, of which links count as links."""
        return _size(self.path)


def open_run(folder: str | Path) -> StoredRun | None:
    """Open the run in a folder; None where there is none any more.

    Raises:
        UserError: It is corrupt; the message says how, the caller knows where.
    """
    run = Run(folder)
    try:
        written = written_at(folder)
        status = run.status
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{layout.STATUS} cannot be read: {error.strerror or error}") from None
    except UserError as error:
        raise type(error)(str(error).removeprefix(f"{run.path}/")) from None
    if not os.path.isfile(run.config_path):
        raise UserError(f"{layout.CONFIG} is missing")
    gone = status.state in ACTIVE and at_work(status, written) is False
    return StoredRun(run, status, "interrupted" if gone else status.state, written)


def _size(folder: str | Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(
                _size(entry.path) if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_size
                for entry in entries
            )
    except OSError:  # it was removed meanwhile, or may not be read
        return 0
