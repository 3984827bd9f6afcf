"""The store: every run below a folder, found, read and removed. The files are the truth; nothing is kept beside."""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.runs import frames, ledger
from dupl.runs.evaluation import Damage
from dupl.runs.lease import FOLDER, TTL, Leases
from dupl.runs.lock import Watch, hold
from dupl.runs.process import at_work, exists
from dupl.runs.stored import ACTIVE, StoredRun, open_run

if TYPE_CHECKING:
    from mmengine.config import Config
    from pandas import DataFrame

TRASH = ".removed"  # below the root; hidden folders hold no runs
REMAINS = {"scalars.jsonl", "evaluation", "checkpoints"}  # where one of these stands, there was a run


class RunStore:
    """The runs below a folder, at any depth; hidden folders are passed over, and links to folders are followed.

    Nothing is changed by reading. Each call looks at the files anew, except where it is handed runs.

    Args:
        root: The folder; it may be missing, and then holds no run.
    """

    def __init__(self, root: str | Path = "runs") -> None:
        self.root = Path(root)
        self._damaged: dict[Path, str] = {}

    @property
    def damaged(self) -> Damage:
        """What the last reading could not use and left out: a folder or a file, and why."""
        return list(self._damaged.items())

    def runs(self) -> list[StoredRun]:
        """Every run, by path; those that cannot be read are in `damaged`."""
        self._damaged = {}
        found = []
        for folder in sorted(_folders(str(self.root), self._damaged, set())):
            try:
                if (stored := open_run(folder)) is not None:
                    found.append(stored)
            except UserError as error:
                self._damaged[Path(folder)] = str(error)
        return found

    def add_damage(self, stored: StoredRun) -> None:
        """Looks at a run's evaluations, and notes those that are damaged in `damaged`."""
        self._damaged.update(stored.damage)

    def best(self, runs: Iterable[StoredRun] | None = None) -> list[StoredRun]:
        """One run for each fingerprint: the finished one, else the one that got furthest, else the newest.

        Args:
            runs: Of which; all where None.
        """
        top: dict[str, StoredRun] = {}
        for stored in sorted(self.runs() if runs is None else runs, key=_merit):
            top[stored.fingerprint] = stored
        return sorted(top.values(), key=lambda stored: stored.path)

    def find(self, fingerprint: str) -> StoredRun | None:
        """The run of a fingerprint; the best one where there are several, as `best` has it."""
        found = [stored for stored in self.runs() if stored.fingerprint == fingerprint]
        return max(found, key=_merit, default=None)

    def frame(self, runs: Iterable[StoredRun] | None = None) -> DataFrame:
        """One row for each run, evaluation and metric; see `frames.frame` for the columns.

        Args:
            runs: Which; the best of each fingerprint where None.
        """
        return frames.frame(self._evaluated(runs))

    def counts(
        self,
        runs: Iterable[StoredRun] | None = None,
        *,
        fingerprints: Iterable[str] | None = None,
        protocol: str | None = None,
        last: bool = True,
    ) -> DataFrame:
        """Pixels per class: one row for each run, evaluation, map and class; see `frames.counts`.

        Args:
            runs: As in `frame`.
            fingerprints: Which of them; all where None.
            protocol: Which evaluations, as the column `protocol` of the frame says; all where None.
            last: Only those that speak for their run.
        """
        return frames.counts(self._evaluated(runs, fingerprints), protocol, last, self._damaged)

    def per_image(
        self,
        fingerprints: Iterable[str] | None = None,
        *,
        runs: Iterable[StoredRun] | None = None,
        protocol: str | None = None,
        last: bool = True,
    ) -> DataFrame:
        """Pixels per image and class, as `counts`, but large: ask for the runs that are needed."""
        return frames.per_image(self._evaluated(runs, fingerprints), protocol, last, self._damaged)

    def _evaluated(
        self, runs: Iterable[StoredRun] | None, fingerprints: Iterable[str] | None = None
    ) -> list[StoredRun]:
        chosen = self.best() if runs is None else list(runs)
        if fingerprints is not None:
            wanted = set(fingerprints)
            chosen = [stored for stored in chosen if stored.fingerprint in wanted]
        for stored in chosen:
            self.add_damage(stored)
        return chosen

    def pace(self, config: Config | Mapping[str, Any], runs: Iterable[StoredRun] | None = None) -> ledger.Pace | None:
        """How long a run of a config takes, by the runs most like it; see `pace.measure` for the rule.

        Args:
            config: Resolved.
            runs: What `runs` returned, where several configs are asked about.
        """
        return ledger.measure(config, self.runs() if runs is None else runs)

    def seconds_per_iteration(
        self, config: Config | Mapping[str, Any], runs: Iterable[StoredRun] | None = None
    ) -> float | None:
        """Seconds that one training iteration takes, evaluation left out, as `pace`; None where nobody can know."""
        found = self.pace(config, runs)
        return None if found is None else found.iteration

    def kept(self, stored: StoredRun) -> str | None:
        """Why a run may not be removed, by its files as they stand now; None where it may."""
        path, root = stored.path, self.root.resolve()
        if path.is_symlink() or root not in path.resolve().parents:
            return f"it lies outside {self.root}"
        try:
            now = open_run(path)
        except UserError as error:
            return str(error)
        if now is None or now.fingerprint != stored.fingerprint:
            return "another run took its place"
        if now.state in ACTIVE:
            if at_work(now.status, now.written) is None:
                return f"it is {now.state} on {now.status.host}, and whether it still is cannot be seen from here"
            return f"process {now.status.pid} is at work on it"
        if who := Watch()(path):
            return f"{who} holds it"
        leases = _leases(path)
        claim = leases.last(stored.fingerprint) if leases is not None else None
        if claim is not None and claim.held and (claim.host != socket.gethostname() or exists(claim.pid)):
            return f"a worker on {claim.host or 'some host'} holds it"
        return None

    def remove(self, stored: StoredRun) -> None:
        """Removes the folder of a run that nobody is at work on, under its lease where the store has leases.

        It first leaves its place as a whole, so that a removal cut short leaves no half of a run; the rest of one
        goes with the next.

        Raises:
            UserError: It must be kept.
            OSError: It cannot be removed.
        """
        if reason := self.kept(stored):
            raise UserError(f"{stored.path} is kept: {reason}")
        trash = self.root / TRASH
        gone = trash / f"{stored.path.name}-{uuid.uuid4().hex}"
        lease, leases = None, _leases(stored.path)
        if leases is not None:
            last = leases.last(stored.fingerprint)
            over = last.digest if last is not None and last.held else ""
            lease = leases.take(stored.fingerprint, uuid.uuid4().hex, stored.path.resolve(), TTL, over)
            if lease is None:
                raise UserError(f"{stored.path} is kept: a worker just took it")
        try:
            with hold(stored.path):
                trash.mkdir(exist_ok=True)
                os.rename(stored.path, gone)
        finally:
            if lease is not None:
                lease.end("interrupted")
        shutil.rmtree(gone)
        shutil.rmtree(trash, ignore_errors=True)


def _leases(path: Path) -> Leases | None:
    """The leases on the runs of the store that a folder lies in, None where there were never any."""
    root = next((parent for parent in path.resolve().parents if (parent / FOLDER).is_dir()), None)
    return None if root is None else Leases(root)


def _folders(folder: str, damaged: dict[Path, str], seen: set[str]) -> Iterator[str]:
    """Every folder with a status.json at or below a folder, and nothing below those."""
    real = os.path.realpath(folder)
    if real in seen:  # a link that leads back
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            names = {entry.name: entry for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        damaged[Path(folder)] = str(error)
        return
    if "status.json" in names:
        yield folder
    elif "config.py" in names and REMAINS & names.keys():
        damaged[Path(folder)] = "status.json is missing"
    else:
        for name, entry in names.items():
            try:
                inside = not name.startswith(".") and entry.is_dir()
            except OSError as error:  # a link that leads nowhere, or where one may not look
                damaged[Path(entry.path)] = str(error)
                continue
            if inside:
                yield from _folders(entry.path, damaged, seen)


def _merit(stored: StoredRun) -> tuple[bool, int, float]:
    return stored.state == "finished", stored.status.iteration, stored.written
