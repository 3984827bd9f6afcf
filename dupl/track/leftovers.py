"""Remove what wandb leaves beside a record and no upload reads: links to logs, second copies of tables."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


def staged(run: Any) -> set[Path]:
    """Return the files that wandb staged for upload in the folder of a run, none where `WANDB_DATA_DIR` is set."""
    return set((_home(run) / "data" / "artifacts" / "staging").glob("*"))


def remove_copies(run: Any, tables: Sequence[Any], before: set[Path]) -> None:
    """Remove the copies of tables that no artifact names: wandb stages every table twice and uploads one.

    Where wandb does not say which copy an artifact names, nothing is removed.

    Args:
        run: The run of wandb.
        tables: All tables of wandb in the row that was just logged.
        before: What `staged` returned just before.
    """
    targets: list[Any] = [getattr(table, "_artifact_target", None) for table in tables]
    if not tables or None in targets:
        return
    with suppress(OSError, AttributeError):  # a file too many does no harm
        entries = [entry for target in targets for entry in target.artifact.manifest.entries.values()]
        named = {Path(entry.local_path).name for entry in entries if entry.local_path}
        new = staged(run) - before
        if named <= {file.name for file in new}:
            for file in new:
                if file.name not in named:
                    file.unlink()


def remove_links(run: Any) -> None:
    """Remove the links to the latest record and to logs; `dupl sync` finds records without them."""
    home = _home(run)
    for link in (home / "latest-run", *home.glob("debug*.log"), *Path(run.dir).parent.glob("logs/*.log")):
        if link.is_symlink():
            with suppress(OSError):
                link.unlink()


def _home(run: Any) -> Path:
    """Return the folder ``wandb`` in the folder of a run."""
    return Path(run.dir).parents[1]
