"""Find and remove the checkpoints of a store that no resumption, evaluation, table or later run needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dupl.config import catalogue
from dupl.errors import UserError
from dupl.execute.job import PLANS
from dupl.execute.stages import checkpoints_of, digests_of, newest
from dupl.lock import Watch, hold
from dupl.plans.study import FOLDER
from dupl.runs import layout
from dupl.runs.store import RunStore
from dupl.runs.stored_run import StoredRun, open_run
from dupl.terminal import counted

ELSEWHERE = (
    "not looked into: studies outside the store (dupl sweep --storage), unless a worker is at work on one; "
    "a trial whose checkpoint is gone trains from scratch"
)


@dataclass(frozen=True)
class Superfluous:
    """Checkpoints of a run that nothing needs.

    Attributes:
        run: The run.
        files: The checkpoints, newest first.
        size: Bytes that removing them frees.
    """

    run: StoredRun
    files: tuple[Path, ...]
    size: int


def superfluous(store: RunStore, runs: Sequence[StoredRun], tell: Callable[[str], object]) -> list[Superfluous]:
    """Find the checkpoints that nothing needs.

    Kept are the best and the last weights of every run, the last two checkpoints of a run that is not finished, every
    checkpoint of a run that a process is at work on, and those as which a planned run of the store, or a trial of a
    search that goes on, would begin. Of studies in storages outside the store only those are known that a worker is at
    work on.

    Args:
        store: The store.
        runs: The runs to look into.
        tell: Called with a line on what is kept, and why.
    """
    if names := sorted({*searches(store.root), *at_work(store.root)}):
        tell(f"kept: all checkpoints at forks, which trials of {', '.join(names)} may begin as")
        return []
    needed, waiting = _beginnings(store)
    if waiting:
        tell(f"kept: {counted(len(needed), 'checkpoint')} as which {counted(waiting, 'planned run')} would begin")
    found = []
    for run in runs:
        if reason := store.kept(run):
            tell(f"kept: {run.path}: {reason}")
            continue
        files = tuple(_unneeded(run, needed))
        if files:
            found.append(Superfluous(run, files, _freed(files)))
    if found:
        tell(ELSEWHERE)
    return found


def remove(store: RunStore, found: Superfluous) -> None:
    """Remove checkpoints that nothing needs, under the lock of their run.

    Raises:
        UserError: A process is at work on the run by now.
        OSError: A file cannot be removed.
    """
    if reason := store.kept(found.run):
        raise UserError(f"{found.run.path} is kept: {reason}")
    with hold(found.run.path, lambda _: None):
        now = open_run(found.run.path)
        last = {file for _, file in layout.checkpoints(found.run.path)[:1]}
        for file in found.files:
            if now is not None and file not in last:
                file.unlink(missing_ok=True)


def searches(root: Path) -> list[str]:
    """Return the names of the store's own studies that have trials to run; one that cannot be read counts."""
    from dupl.plans.study import open_storage

    found = []
    for file in sorted((root / FOLDER).glob("*.db")):
        try:
            storage = open_storage(f"sqlite:///{file}")
            trials = [one for s in storage.get_all_studies() for one in storage.get_all_trials(s._study_id, False)]
        except Exception:  # a storage may fail in any way; what cannot be read may be at work
            found.append(file.stem)
            continue
        if any(not trial.state.is_finished() for trial in trials):
            found.append(file.stem)
    return found


def at_work(root: Path) -> list[str]:
    """Return the names of studies that a worker is at work on now, whatever storage they are in."""
    watch, names = Watch(), set[str]()
    for file in (root / FOLDER).glob(".*.lock"):
        if watch(file.parent, file.name) is not None:
            names.add(re.sub(r"-\d{5}$", "", file.name[1 : -len(".lock")]))
    return sorted(names)


def _beginnings(store: RunStore) -> tuple[set[Path], int]:
    """Return the checkpoints as which planned runs that are not begun would begin, and how many runs these are."""
    runs = store.runs()
    begun = {run.fingerprint for run in runs if run.status.iteration > 0}
    planned = []
    for file in sorted((store.root / PLANS).glob("*.py")):
        if file.stem not in begun:
            try:
                config = catalogue.read_values(file)
                planned.append((config["runtime"]["seed"], digests_of(file.stem, config)))
            except (UserError, KeyError, TypeError):
                continue
    held = checkpoints_of(runs, {(seed, max(digests)) for seed, digests in planned})
    needed, waiting = set(), 0
    for _, digests in planned:
        folder, iteration = newest(held, digests)
        if folder is not None:
            waiting += 1
            needed |= {folder / layout.checkpoint(iteration), folder / layout.best_until(iteration)}
    return needed, waiting


def _unneeded(run: StoredRun, needed: set[Path]) -> Iterator[Path]:
    """Yield the checkpoints of a run that neither itself nor another one needs, and best weights kept beside them."""
    files = layout.checkpoints(run.path)
    kept = {file for _, file in files[: 1 if run.state == "finished" else 2]} | needed
    for _, file in files:
        if file not in kept:
            yield file
    for file in sorted((run.path / layout.CHECKPOINTS).glob("best_*.pth")):
        if file not in needed:
            yield file


def _freed(files: Sequence[Path]) -> int:
    """Return the bytes that removing files frees; one that has another name stays."""
    stats = [file.stat() for file in files]
    return sum(one.st_size for one in stats if one.st_nlink == 1)
