"""A run: one folder of plain files, every one written whole or not at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dupl.atomic import atomic_write, read_regular
from dupl.errors import UserError
from dupl.runs import files, ids, layout, provenance, scalars, status, stretches
from dupl.runs.status import Status


def folder_name(recipe: str | Path, fingerprint: str) -> str:
    """Return the default name of a run's folder: ``RECIPE-FINGERPRINT``, one word.

    Args:
        recipe: A name such as "voc/dupl", or a file.
        fingerprint: Id of the run.
    """
    name = Path(recipe).with_suffix("").as_posix().strip("./").replace("/", "-")
    return f"{name}-{fingerprint}"


class Run:
    """The folder of a run: its config, status, scalars and whatever else the run writes.

    One process writes to a run; any number may read it meanwhile.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        """Point at a folder, without looking into it."""
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | Path, config_text: str, fingerprint: str, command: Sequence[str], seed: int) -> Run:
        """Create the folder of a run with its resolved config and the origin of code and command.

        Args:
            path: The folder; it may exist, but must not hold a run.
            config_text: The resolved config, as `dupl.config.catalogue.to_text` writes it.
            fingerprint: Id of the run.
            command: The command line that started the run.
            seed: The seed of the run.

        Raises:
            UserError: The folder holds a run already.
        """
        run = cls(path)
        if run.exists():
            raise UserError(f"{run.path} holds a run already: resume it, or choose another folder")
        code = provenance.code()
        run.write_text(layout.CONFIG, config_text)
        if code.diff:
            run.write_text(layout.CHANGES, code.diff)
        created = Status(
            state="created",
            fingerprint=fingerprint,
            command=status.command_line(list(command)),
            seed=seed,
            created=status.now(),
            host=socket.gethostname(),
            pid=os.getpid(),
            commit=code.commit,
            dirty=code.dirty,
            versions=provenance.versions(),
            id_version=ids.VERSION,
        )
        status.write_status(run.path, created)
        return run

    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return status.exists(self.path)

    @property
    def config_path(self) -> Path:
        """The resolved config, a recipe to load."""
        return self.path / layout.CONFIG

    @property
    def status(self) -> Status:
        """The status as it stands on disk; see `dupl.runs.status.read_status`."""
        return status.read_status(self.path)

    def update(self, **changes: Any) -> Status:
        """Change fields of the status on disk, and return it; see `dupl.runs.status.update_status`."""
        return status.update_status(self.path, changes)

    def begin(self, start: int, hardware: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
        """Record that training starts or goes on, and what computes it; see `dupl.runs.stretches`.

        Args:
            start: Iterations done before.
            hardware: Fields of `Stretch` on the machine.

        Returns:
            What is other than in the stretch before, by name, then and now.
        """
        code, before = provenance.code(), self.status.history if start else ()
        new = provenance.stretch(code, hardware, start)
        if code.diff and code.diff != self.changes():
            self.write_text(layout.later_changes(str(code.changes)), code.diff)
        kept = stretches.begun(before, new)
        self.update(stretches=kept)
        return stretches.changed(kept[-2], new) if len(kept) > 1 else {}

    def append_scalars(self, row: Mapping[str, Any]) -> None:
        """Add one row of scalars; see `dupl.runs.scalars.append`."""
        scalars.append(self.path, row)

    def scalars_text(self) -> str:
        """Return the complete lines of the scalars' file; see `dupl.runs.scalars.text`."""
        return scalars.text(self.path)

    def scalars(self) -> list[dict[str, Any]]:
        """Return the rows of scalars; see `dupl.runs.scalars.rows`."""
        return scalars.rows(self.path)

    def truncate_scalars(self, after_iteration: int, known: str = "") -> int:
        """Drop the rows after an iteration; see `dupl.runs.scalars.truncate`."""
        return scalars.truncate(self.path, after_iteration, known)

    def changes(self) -> str:
        """Return the changes of the code that no commit holds, as a patch; "" where nothing was changed."""
        try:
            return read_regular(self.path / layout.CHANGES).decode(errors="replace")
        except FileNotFoundError:
            return ""

    def clear_drafts(self) -> None:
        """Remove what a killed process had begun to write; for the one process that writes to the run."""
        for pattern in layout.DRAFTED:
            folder, _, name = pattern.rpartition("/")
            for draft in self.path.glob(f"{folder}/.{name}.*".lstrip("/")):
                if len(draft.suffix) == 33:  # as atomic_write names them
                    draft.unlink(missing_ok=True)

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of the run, whole or not at all, and return its path."""
        path = self.path / name
        atomic_write(path, text)
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file of the run; see `dupl.runs.files.write_json`."""
        return files.write_json(self.path / name, value)

    def write_csv(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
        """Write a CSV file of the run; see `dupl.runs.files.write_csv`."""
        return files.write_csv(self.path / name, columns, rows)

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run; see `dupl.runs.files.read_json`."""
        return files.read_json(self.path / name)
