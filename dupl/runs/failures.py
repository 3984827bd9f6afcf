"""Note why a job failed before its run had a status, so that a table can say it."""

from __future__ import annotations

from pathlib import Path

from dupl.atomic import atomic_write, read_regular

FOLDER = ".plans"


def note(root: str | Path, fingerprint: str, error: str | None) -> None:
    """Note why the run of a fingerprint could not begin; None removes the note."""
    file = _file(root, fingerprint)
    if error is None:
        file.unlink(missing_ok=True)
    else:
        atomic_write(file, error + "\n")


def noted(root: str | Path, fingerprint: str) -> str | None:
    """Return why the run of a fingerprint could not begin; None where nothing is noted."""
    try:
        return read_regular(_file(root, fingerprint)).decode(errors="replace").strip() or None
    except OSError:
        return None


def _file(root: str | Path, fingerprint: str) -> Path:
    return Path(root) / FOLDER / f"{fingerprint}.error"
