"""A partly downloaded file, with a note of which version of the file it is a part of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dupl.atomic import atomic_write


@dataclass
class PartialFile:
    """A partly downloaded file.

    Attributes:
        path: The partial file.
        size: Size of the whole file in bytes; None where the server does not state it.
        validator: The server's mark of the file's version: a strong ETag or the date of change. Without one, the
            download cannot be continued.
    """

    path: Path
    size: int | None = None
    validator: str | None = None

    @property
    def have(self) -> int:
        """Number of bytes already downloaded."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def note(self) -> Path:
        """File that holds address, size and validator."""
        return self.path.with_name(self.path.name + ".json")

    def restore(self, url: str) -> None:
        """Continue the part of an earlier run if it has the same address."""
        try:
            known = json.loads(self.note.read_text(encoding="utf-8"))
            if known["url"] == url:
                self.size, self.validator = known["size"], known["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def save_note(self, url: str) -> None:
        """Write the note for a later run."""
        atomic_write(self.note, json.dumps(dict(url=url, size=self.size, validator=self.validator)))

    def delete(self) -> None:
        """Delete the partial file and its note."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
