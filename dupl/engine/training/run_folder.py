"""Opening the folder of a run: creating it, resuming it, and restoring corrupt files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from mmengine.config import Config
from rich.console import Console

from dupl.config import catalogue
from dupl.config.fingerprint import fingerprint
from dupl.config.overrides import diff
from dupl.engine.checkpoints import load, newest_valid
from dupl.errors import UserError
from dupl.runs import ids, layout
from dupl.runs.files import CorruptFile
from dupl.runs.run import Run
from dupl.runs.status import Status


def open_run(config: Config, folder: Path, resume: bool, command: Sequence[str], console: Console) -> Run:
    """Create a run's folder, or check that the run in it may continue; called in the first process only.

    Args:
        config: The resolved recipe.
        folder: The run's folder.
        resume: Whether a run in it may continue, and its corrupt files may be restored.
        command: The command line, for the record.
        console: Console for messages.

    Raises:
        UserError: The folder holds another run, or one that must be resumed explicitly.
    """
    run, name = Run(folder), fingerprint(config)
    run.clear_drafts()
    if not run.exists():
        return Run.create(folder, catalogue.to_text(config), name, list(command), config.runtime.seed)
    status = _restore_corrupt(run, config, resume, command, console)
    if status.fingerprint != name:
        changes = diff(catalogue.read(run.config_path), config)
        listed = ", ".join(f"{path}: {old!r} -> {new!r}" for path, (old, new) in list(changes.items())[:5])
        raise UserError(f"{folder} holds another run ({listed}): choose another folder by --work-dir")
    if status.state == "finished":
        raise UserError(f"{folder} holds this run, finished: evaluate it by dupl eval, or choose another --work-dir")
    if not resume:
        raise UserError(f"{folder} holds this run, {status.state} at iteration {status.iteration}: add --resume")
    return run


def find_checkpoint(run: Run, console: Console) -> Path | None:
    """Return the newest checkpoint that loads, and print what training starts from; None where there is none."""
    start, skipped = newest_valid(run.path)
    for line in skipped:
        console.print(f"skipped: {line}", soft_wrap=True, highlight=False)
    source = f"resuming from {start.name}" if start else f"there is no checkpoint in {run.path}: starting from scratch"
    console.print(source, soft_wrap=True, highlight=False)
    return start


def _restore_corrupt(run: Run, config: Config, resume: bool, command: Sequence[str], console: Console) -> Status:
    """Restore a corrupt status or config, and return the status.

    Raises:
        UserError: Only ``resume`` restores; or the folder holds another run.
    """
    name = fingerprint(config)
    try:
        status = run.status
    except CorruptFile as error:
        if not resume:
            raise UserError(f"{error}; --resume restores it from the newest checkpoint") from None
        start, _ = newest_valid(run.path)
        meta = load(start).get("meta", {}) if start is not None else {}
        if {ids.current(meta.get("fingerprint", name)), _stored_fingerprint(run) or name} != {name}:
            raise UserError(f"{error}, and the folder is of another run: choose another by --work-dir") from None
        (run.path / layout.STATUS).unlink()
        text = run.config_path.read_text() if _stored_fingerprint(run) else catalogue.to_text(config)
        status = Run.create(run.path, text, name, list(command), config.runtime.seed).status
        known = {field.name for field in fields(Status)} - {"state", "layout"}
        before = {key: value for key, value in json.loads(str(meta.get("status", "{}"))).items() if key in known}
        run.update(state="interrupted", **{"iteration": meta.get("iter", 0), **before})
        source = start.name if start is not None else "the command: there is no checkpoint"
        console.print(f"{layout.STATUS} was corrupt: restored from {source}", soft_wrap=True, highlight=False)
    if status.fingerprint == name and _stored_fingerprint(run) is None:
        run.write_text(layout.CONFIG, catalogue.to_text(config))
        console.print(f"{layout.CONFIG} was corrupt: written again", soft_wrap=True, highlight=False)
    return run.status


def _stored_fingerprint(run: Run) -> str | None:
    """Return the fingerprint of the stored config; None where it cannot be read."""
    try:
        return ids.current(fingerprint(catalogue.read(run.config_path)))
    except (UserError, OSError):
        return None
