"""A run of wandb or trackio in a process of its own, so that no failure of the tracker reaches the training."""

from __future__ import annotations

import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dupl.track.records import Files
from dupl.track.wandb_like import WandbLike, of_mode

ROOM = 200  # records that may wait
PATIENCE = {"offline": 30.0, "online": 90.0}  # seconds that the end of a run waits for the last records
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from dupl.track.wandb_writer import main; main()"


class Tracker:
    """Sends records to a process that writes them to the tracker. No method raises, none waits but `close`.

    Records that the process cannot take in time are dropped. The first failure is reported, once.

    Args:
        folder: Of the run; the process keeps a folder of the tracker's name in it.
        settings: Arguments of the tracker's ``init`` and: mode, files (copied with the run), code (a folder).
        warn: Takes the one warning.
        consolation: How the warning ends: what the failure does not touch.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        warn: Callable[[str], None],
        consolation: str = "training goes on",
    ) -> None:
        self.warn, self.mode, self.told = warn, str(settings.get("mode", "offline")), False
        self.consolation, self.tracker = consolation, of_mode(self.mode)
        self.waiting: queue.Queue[Any] = queue.Queue(ROOM)
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.process = _start(folder, self.tracker)
            self.waiting.put(("start", {**settings, "dir": str(folder)}))
            for work in (self._feed, self._listen):
                threading.Thread(target=work, daemon=True).start()
        except Exception as error:
            self._tell(f"{type(error).__name__}: {error}")

    def log(self, row: Mapping[str, Any]) -> None:
        """Send one row: numbers, tables, histograms or lists of pictures by name; "iter" is its iteration."""
        self._send(("log", dict(row)))

    def log_iteration(self, row: Mapping[str, Any]) -> None:
        """Send the row of a training iteration; a resumed run leaves out what was sent, see `dupl.track.position`."""
        self._send(("iteration", dict(row)))

    def summary(self, values: Mapping[str, Any]) -> None:
        """Send values of the run as a whole."""
        self._send(("summary", dict(values)))

    def keep(self, files: Files) -> None:
        """Send files as an artifact."""
        self._send(("keep", files))

    def close(self, exit_code: int = 0) -> None:
        """End the run and wait a limited time until it is written; ``dupl sync`` uploads the rest from disk."""
        process, self.process = self.process, None
        if process is None:
            return
        try:
            patience = PATIENCE.get(self.mode, 30.0)
            self.waiting.put(("end", exit_code), timeout=patience / 10)
            if code := process.wait(patience):
                self._tell(f"its process ended with exit code {code}")
        except (queue.Full, subprocess.TimeoutExpired):
            self._tell("it does not end; what it holds is on disk")
            process.kill()
        except Exception as error:
            self._tell(f"{type(error).__name__}: {error}")

    def _send(self, record: tuple[str, Any]) -> None:
        if self.process is None:
            return
        try:
            self.waiting.put_nowait(record)
        except queue.Full:
            self._tell("it does not keep up; records are dropped")

    def _feed(self) -> None:
        """Pass records to the process until the end (a thread)."""
        process = self.process
        if process is None or process.stdin is None:
            return
        try:
            with process.stdin as pipe:
                while True:
                    record = self.waiting.get()
                    pickle.dump(record, pipe, pickle.HIGHEST_PROTOCOL)
                    pipe.flush()
                    if record[0] == "end":
                        return
        except Exception as error:
            self._tell(f"its process is gone ({type(error).__name__})")
            while self.waiting.get()[0] != "end":  # the queue has no reader any more
                pass

    def _listen(self) -> None:
        """Report what the process prints when something fails (a thread)."""
        process = self.process
        if process is None or process.stdout is None:
            return
        for line in process.stdout:
            self._tell(line.decode(errors="replace").strip())

    def _tell(self, what: str) -> None:
        if not self.told:
            self.told = True
            self.warn(f"{self.tracker.name}: {what} ({self.consolation})")


def _start(folder: Path, tracker: WandbLike) -> subprocess.Popen[bytes]:
    """Start the process, in a session of its own, so that Ctrl-C reaches only the training."""
    home = folder / tracker.name
    home.mkdir(parents=True, exist_ok=True)
    environ = {"WANDB_DATA_DIR": str((home / "data").resolve()), **os.environ}
    with open(home / "writer.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-c", START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environ,
            start_new_session=True,
        )
