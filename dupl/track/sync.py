"""Find what wandb recorded below some folders, and upload it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dupl.errors import UserError
from dupl.process import SAFE_PATH
from dupl.runs.process import at_work
from dupl.runs.run import Run
from dupl.runs.status import written_at

COMPLETE = "upload-complete"  # a file that marks a stretch recorded online as uploaded
LATELY = 300.0  # seconds; wandb writes the load of the machine several times a minute


@dataclass(frozen=True)
class Upload:
    """One stretch of a run that may have to be uploaded.

    Attributes:
        path: Its folder, ``wandb/offline-run-TIME-ID`` or ``wandb/run-TIME-ID`` in the folder of a run.
        online: Whether it was recorded online; then it is here because its upload did not end.
        done: Whether it has been uploaded.
        busy: Whether its run is still training; an upload would take it as finished.
    """

    path: Path
    online: bool
    done: bool
    busy: bool

    @property
    def id(self) -> str:
        """The id of the run on wandb."""
        return self.path.name.rpartition("run-")[2].partition("-")[2]


def find(roots: Sequence[Path]) -> list[Upload]:
    """Return the stretches below some folders, in the order in which they were recorded.

    Raises:
        UserError: There is no such folder.
    """
    found = {}
    for root in roots:
        if not root.is_dir():
            raise UserError(f"{root} is no folder: name runs, or the folder that holds them")
        for log in root.rglob("run-*.wandb"):
            folder = log.parent
            if not re.fullmatch(r"(offline-)?run-\d{8}_\d{6}-.+", folder.name):
                continue
            done = log.with_name(f"{log.name}.synced").exists() or (folder / COMPLETE).exists()
            online = not folder.name.startswith("offline-")
            found[folder.resolve()] = Upload(folder, online, done, _busy(Run(folder.parent.parent), log))
    return sorted(found.values(), key=lambda u: u.path.name.removeprefix("offline-"))


def _busy(run: Run, log: Path) -> bool:
    """Whether a run is training; where this host cannot tell, whether its log was written lately."""
    try:
        status = run.status
        if status.state != "running":
            return False
        working = at_work(status, written_at(run.path))
        return abs(time.time() - log.stat().st_mtime) < LATELY if working is None else working  # clocks may be set back
    except (UserError, OSError):  # not a run of ours, or one without a status
        return False


def upload(stretches: Sequence[Upload], environ: Mapping[str, str] = os.environ) -> str | None:
    """Upload the stretches of one run by ``wandb sync``, in order.

    Only the marks that wandb leaves on what it has uploaded count: its exit code is 0 even on failure.

    Returns:
        Why it failed, in one line; None where everything was uploaded.
    """
    command = [sys.executable, "-m", "wandb", "sync", "--include-online", *(str(s.path) for s in stretches)]
    environment = {**environ, SAFE_PATH: "1"}
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    missing = [s for s in find([s.path for s in stretches]) if not s.done]
    if not missing:
        return None
    said = [line.removeprefix("wandb:").strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    reason = next((line for line in reversed(said) if "rror" in line), said[-1] if said else f"exit {done.returncode}")
    return f"{missing[0].path}: {reason}"
