"""Where the run of a job is, whatever name a plan has for it: the same id is one run, in one folder of the store.

The first worker that takes a job notes the folder beside the job's config. Plans that call the run differently, also
at the same moment, follow the note as long as the folder is there.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from dupl.atomic import atomic_write
from dupl.errors import Held, UserError
from dupl.execute.job import PLANS, Job
from dupl.lock import hold
from dupl.runs.run import Run


def folder_of(job: Job) -> Path:
    """Return the run's folder: the noted one, or the job's own.

    The job's own counts where the noted folder is gone, or where only the own one holds a finished run.
    """
    own, root = Path(job.folder), Path(job.root)
    with suppress(OSError, ValueError):
        noted = root / _note(job).read_text(encoding="utf-8").strip()
        if noted.is_dir() and noted.resolve().is_relative_to(root.resolve()):
            return own if _finished(own) and not _finished(noted) else noted
    return own


def take_folder(job: Job, patience: float = 0.1) -> Path:
    """Return the run's folder, made and noted, so that another plan does not train the run in one of its own."""
    while True:
        try:
            with hold(Path(job.root) / PLANS, lambda _: None, name=f".{job.fingerprint}.lock", what="this job"):
                folder = folder_of(job)
                folder.mkdir(parents=True, exist_ok=True)
                atomic_write(_note(job), os.path.relpath(folder, job.root) + "\n")
                return folder
        except Held:
            time.sleep(patience)


def _note(job: Job) -> Path:
    return Path(job.root) / PLANS / f"{job.fingerprint}.folder"


def _finished(folder: Path) -> bool:
    run = Run(folder)
    with suppress(UserError):
        return run.exists() and run.status.state == "finished"
    return False
