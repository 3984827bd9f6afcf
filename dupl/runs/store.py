"""The store: find, read and remove the runs below a folder. The files are the truth."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError
from dupl.lock import Watch, hold
from dupl.runs import frames, ledger
from dupl.runs.evaluation import Skipped
from dupl.runs.listing import RunLine, list_runs
from dupl.runs.pixel_counts import ChooseMaps, PixelCounts
from dupl.runs.process import at_work
from dupl.runs.status import ACTIVE
from dupl.runs.store_folders import folders
from dupl.runs.stored_run import StoredRun, open_run

if TYPE_CHECKING:
    from mmengine.config import Config
    from pandas import DataFrame

TRASH = ".removed"  # below the root; hidden folders hold no runs


class RunStore:
    """The runs below a folder, at any depth; hidden folders are skipped, and links to folders are followed.

    Nothing is changed by reading. Each call looks at the files anew, except where it is handed runs.

    Args:
        root: The folder; it may be missing, and then holds no run.

    Example:
        >>> store = RunStore("runs")
        >>> store.overview()["state"].unique().tolist()  # one row for each run
        ['finished']
        >>> scalars = store.scalars(store.best()[:1])  # one row for each line that a run logged
        >>> {"iter", "loss", "tau_h"} <= set(scalars.columns)
        True
        >>> metrics = store.frame()  # one row for each run, evaluation and metric
        >>> classes = store.counts(protocol="train")  # pixels, IoU and OA rate per class
        >>> images = store.per_image(classes["fingerprint"].unique()[:1], protocol="train")  # pixels per image
        >>> [name for name in ("TP", "FP", "FN") if name in images]
        ['TP', 'FP', 'FN']
    """

    def __init__(self, root: str | Path = "runs") -> None:
        self.root = Path(root)
        self._skipped: dict[Path, str] = {}

    @property
    def skipped(self) -> Skipped:
        """What the last reading could not use and left out: a folder or a file, and why."""
        return list(self._skipped.items())

    def runs(self) -> list[StoredRun]:
        """Return every run, by path; those that cannot be read are in `skipped`."""
        self._skipped = {}
        found = []
        for folder in sorted(folders(str(self.root), self._skipped)):
            try:
                if (stored := open_run(folder)) is not None:
                    found.append(stored)
            except UserError as error:
                self._skipped[Path(folder)] = str(error)
        return found

    def lines(self) -> list[RunLine]:
        """Return what is listed of every run, by path, from an index beside the runs where there are many.

        Of the calls here this one alone may write: the index, see `dupl.runs.listing`.
        """
        self._skipped = {}
        return list_runs(self.root, self._skipped)

    def add_skipped(self, stored: StoredRun) -> None:
        """Read the evaluations of a run, and add those that are corrupt to `skipped`."""
        self._skipped.update(stored.skipped)

    def best(self, runs: Iterable[StoredRun] | None = None) -> list[StoredRun]:
        """Return one run for each fingerprint: the finished one, else the one that got furthest, else the newest.

        Args:
            runs: To choose from; all where None.
        """
        top: dict[str, StoredRun] = {}
        for stored in sorted(self.runs() if runs is None else runs, key=_merit):
            top[stored.fingerprint] = stored
        return sorted(top.values(), key=lambda stored: stored.path)

    def find(self, fingerprint: str) -> StoredRun | None:
        """Return the run of a fingerprint; the best one where there are several, as `best` has it."""
        found = [stored for stored in self.runs() if stored.fingerprint == fingerprint]
        return max(found, key=_merit, default=None)

    def frame(self, runs: Iterable[StoredRun] | None = None) -> DataFrame:
        """Return metrics, one row for each run, evaluation and metric; see `frames.frame` for the columns.

        Args:
            runs: Which; the best of each fingerprint where None.
        """
        return frames.frame(self._evaluated(runs))

    def overview(self, runs: Iterable[StoredRun] | None = None) -> DataFrame:
        """Return one row for each run; see `frames.overview` for the columns.

        Args:
            runs: Which; all of them where None.
        """
        return frames.overview(self.runs() if runs is None else runs)

    def scalars(self, runs: Iterable[StoredRun] | None = None) -> DataFrame:
        """Return what runs logged during training, a row for each run and iteration logged; see `frames.scalars`.

        Args:
            runs: Which; the best of each fingerprint where None.
        """
        return frames.scalars(self.best() if runs is None else runs, self._skipped)

    def counts(
        self,
        runs: Iterable[StoredRun] | None = None,
        *,
        fingerprints: Iterable[str] | None = None,
        protocol: str | None = None,
        last: bool = True,
    ) -> DataFrame:
        """Return pixels per class, one row for each run, evaluation, map and class; see `frames.counts`.

        Args:
            runs: As in `frame`.
            fingerprints: Which of them; all where None.
            protocol: Which evaluations, as the column `protocol` of the frame says; all where None.
            last: Only those that speak for their run.
        """
        return frames.counts(self._evaluated(runs, fingerprints), protocol, last, self._skipped)

    def per_image(
        self,
        fingerprints: Iterable[str] | None = None,
        *,
        runs: Iterable[StoredRun] | None = None,
        protocol: str | None = None,
        last: bool = True,
    ) -> DataFrame:
        """Return pixels per image and class, as `counts`; it is large, so ask for the runs that are needed."""
        return frames.per_image(self._evaluated(runs, fingerprints), protocol, last, self._skipped)

    def images_of(
        self, stored: StoredRun, protocol: str, split: str, choose: ChooseMaps, report: str = "last"
    ) -> PixelCounts | None:
        """Return pixels per image and class of the evaluation that speaks for a run; see `frames.images_of`.

        Args:
            stored: The run.
            protocol: Of the evaluation.
            split: Of its data.
            choose: Returns the label maps to read, of those there are.
            report: Which weights of the run, "last" or "best".
        """
        self.add_skipped(stored)
        return frames.images_of(stored, protocol, split, choose, self._skipped, report)

    def _evaluated(
        self, runs: Iterable[StoredRun] | None, fingerprints: Iterable[str] | None = None
    ) -> list[StoredRun]:
        chosen = self.best() if runs is None else list(runs)
        if fingerprints is not None:
            wanted = set(fingerprints)
            chosen = [stored for stored in chosen if stored.fingerprint in wanted]
        for stored in chosen:
            self.add_skipped(stored)
        return chosen

    def pace(self, config: Config | Mapping[str, Any], runs: Iterable[StoredRun] | None = None) -> ledger.Pace | None:
        """Return how long a run of a config takes, by the most similar runs; see `dupl.runs.ledger` for the rule.

        Args:
            config: Resolved.
            runs: What `runs` returned, where several configs are asked about.
        """
        return ledger.Ledger(self.runs() if runs is None else runs).measure(config)

    def seconds_per_iteration(
        self, config: Config | Mapping[str, Any], runs: Iterable[StoredRun] | None = None
    ) -> float | None:
        """Return the seconds of one training iteration, evaluation left out, as `pace`; None where no run tells."""
        found = self.pace(config, runs)
        return None if found is None else found.iteration

    def kept(self, stored: StoredRun) -> str | None:
        """Return why a run may not be removed, by its files as they stand now; None where it may."""
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
        return None

    def remove(self, stored: StoredRun) -> None:
        """Remove the folder of a run that no process is at work on, under its lock.

        The folder is first moved as a whole, so that an interrupted removal leaves no half of a run; what it leaves is
        deleted by the next one.

        Raises:
            UserError: It must be kept.
            OSError: It cannot be removed.
        """
        if reason := self.kept(stored):
            raise UserError(f"{stored.path} is kept: {reason}")
        trash = self.root / TRASH
        gone = trash / f"{stored.path.name}-{uuid.uuid4().hex}"
        with hold(stored.path):
            trash.mkdir(exist_ok=True)
            os.rename(stored.path, gone)
        shutil.rmtree(gone)
        shutil.rmtree(trash, ignore_errors=True)


def _merit(stored: StoredRun) -> tuple[bool, int, float]:
    return stored.state == "finished", stored.status.iteration, stored.written
