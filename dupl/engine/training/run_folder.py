"""Opening the folder of a run: creating it, resuming it, and restoring corrupt files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console

from dupl.config import catalogue
from dupl.config.fingerprint import config_id, counted, files_of
from dupl.config.overrides import diff
from dupl.data.identity import Identity
from dupl.engine.checkpoints import load, newest_valid
from dupl.errors import UserError
from dupl.runs import ids, layout
from dupl.runs.config import read_config
from dupl.runs.evaluation import trained_evaluations
from dupl.runs.files import CorruptFile
from dupl.runs.reproduce import differences
from dupl.runs.run import Run
from dupl.runs.status import Status


@dataclass(frozen=True)
class Asked:
    """The run that a command asks for.

    Attributes:
        config: The resolved recipe.
        identity: Id of the run.
        reads: What it reads by split, as `dupl.engine.data_digest.digests` describes it.
        resume: Whether a run in the folder may continue, and its corrupt files may be restored.
        command: The command line, for the record.
    """

    config: Config
    identity: Identity
    reads: Mapping[str, Any]
    resume: bool
    command: Sequence[str]

    def create(self, folder: Path, text: str | None = None) -> Run:
        """Create the run's folder; ``text`` is its config where that is there already."""
        text = catalogue.to_text(self.config) if text is None else text
        return Run.create(folder, text, self.identity.run, list(self.command), self.config.runtime.seed)


def open_run(asked: Asked, folder: Path, console: Console) -> Run:
    """Create a run's folder, or check that the run in it may continue; called in the first process only.

    Args:
        asked: The run that the command asks for.
        folder: The run's folder.
        console: Console for messages.

    Raises:
        UserError: The folder holds another run, or one that must be resumed explicitly.
    """
    run, name = Run(folder), asked.identity.run
    run.clear_drafts()
    if not run.exists():
        return asked.create(folder)
    status = _restore_corrupt(run, asked, console)
    if status.fingerprint != name:
        _correct_evaluation(run, status, asked, console)
    if status.state == "finished":
        raise UserError(f"{folder} holds this run, finished: evaluate it, or choose another folder (--work-dir)")
    if not asked.resume:
        at = f"{status.state} at iteration {status.iteration}"
        raise UserError(f"{folder} holds this run, {at}: resume it (--resume)")
    if status.id_version < ids.VERSION:
        run.update(fingerprint=name, id_version=ids.VERSION)
    if files_of(read_config(run.path)) != files_of(asked.config):
        run.write_text(layout.CONFIG, catalogue.to_text(asked.config))
        console.print(f"{layout.CONFIG} names the new places of data and weights", highlight=False)
    return run


def find_checkpoint(run: Run, console: Console) -> Path | None:
    """Return the newest checkpoint that loads, and print what training starts from; None where there is none."""
    start, skipped = newest_valid(run.path)
    for line in skipped:
        console.print(f"skipped: {line}", soft_wrap=True, highlight=False)
    source = f"resuming from {start.name}" if start else f"there is no checkpoint in {run.path}: starting from scratch"
    console.print(source, soft_wrap=True, highlight=False)
    return start


def _correct_evaluation(run: Run, status: Status, asked: Asked, console: Console) -> None:
    """Let a run continue with corrected settings of its evaluation, if they are all that changed.

    They change no weights; but a run that was evaluated already would hold evaluations by both.

    Raises:
        UserError: The folder holds another run.
    """
    config, data = ids.parts(status.fingerprint)
    if config == asked.identity.config:
        told = _data_differences(run, asked, data)
        raise UserError(f"{run.path} holds a run of this recipe on other data ({told}): choose another --work-dir")
    stored = read_config(run.path)
    changes = diff(counted(stored), counted(asked.config))
    listed = ", ".join(f"{path}: {old!r} -> {new!r}" for path, (old, new) in list(changes.items())[:5])
    more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
    if others := diff(stored, asked.config).keys() - changes.keys():
        more += f"; {len(others)} more that do not change the result"
    corrected = data == asked.identity.data and all(path.startswith("evaluation.") for path in changes)
    if not (corrected and asked.resume and status.state != "finished" and not trained_evaluations(run.path)):
        raise UserError(f"{run.path} holds another run ({listed}{more}): choose another folder (--work-dir)")
    run.write_text(layout.CONFIG, catalogue.to_text(asked.config))
    run.update(fingerprint=asked.identity.run, id_version=ids.VERSION)
    console.print(f"evaluated from now on with {listed}{more}", soft_wrap=True, markup=False, highlight=False)


def _data_differences(run: Run, asked: Asked, data: str | None) -> str:
    """Tell in what the training data of a run differ from those of the command."""
    try:
        then = run.read_json(layout.DATA)
    except (CorruptFile, OSError):
        then = {}
    train = {"train": asked.reads.get("train", {})}
    found = [one.told for one in differences({"train": then.get("train", {})}, train) if one.same is False]
    return "; ".join(found) or f"{data or 'none'} then, {asked.identity.data or 'none'} now"


def _restore_corrupt(run: Run, asked: Asked, console: Console) -> Status:
    """Restore a corrupt status or config, and return the status.

    Raises:
        UserError: Only ``resume`` restores; or the folder holds another run.
    """
    name = asked.identity.run
    try:
        status = run.status
    except CorruptFile as error:
        if not asked.resume:
            raise UserError(f"{error}; resuming (--resume) restores it from the newest checkpoint") from None
        start, _ = newest_valid(run.path)
        meta = load(start).get("meta", {}) if start is not None else {}
        before = {k: v for k, v in json.loads(str(meta.get("status", "{}"))).items() if k in KEPT}
        version, machine = int(before.get("id_version", 1)), before.get("machine")
        saved = ids.current(run.path, meta.get("fingerprint", name), version, machine) if meta else name
        stored = _stored_config_id(run)
        if saved != name or stored not in (None, asked.identity.config):
            raise UserError(f"{error}, and the folder is of another run: choose another folder (--work-dir)") from None
        (run.path / layout.STATUS).unlink()
        asked.create(run.path, run.config_path.read_text() if stored else None)
        changes = {key: value for key, value in before.items() if key not in ("fingerprint", "id_version")}
        run.update(state="interrupted", **{"iteration": meta.get("iter", 0), **changes})
        source = start.name if start is not None else "the command: there is no checkpoint"
        console.print(f"{layout.STATUS} was corrupt: restored from {source}", soft_wrap=True, highlight=False)
        status = run.status
    if status.fingerprint == name and _stored_config_id(run) is None:
        run.write_text(layout.CONFIG, catalogue.to_text(asked.config))
        console.print(f"{layout.CONFIG} was corrupt: written again", soft_wrap=True, highlight=False)
    return run.status


KEPT = {field.name for field in fields(Status)} - {"state", "layout"}


def _stored_config_id(run: Run) -> str | None:
    """Return the id of the stored config; None where it cannot be read."""
    try:
        return config_id(read_config(run.path))
    except (UserError, OSError):
        return None
