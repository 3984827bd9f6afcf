"""Let runs that share a beginning train it once: each forks from the run that trains the longest part of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dupl.config.prefix import beginnings, common
from dupl.errors import UserError
from dupl.execute.job import Job
from dupl.runs import ids, layout
from dupl.runs.config import read_config_values
from dupl.runs.stored_run import StoredRun


@dataclass(frozen=True)
class Fork:
    """Where a run leaves another one.

    Attributes:
        parent: Id of the run that trains the shared beginning.
        iteration: Number of iterations that both have in common, at least 1.
    """

    parent: str
    iteration: int


def forks_of(runs: Mapping[str, Mapping[int, str]]) -> dict[str, Fork]:
    """Find for each run the earlier run with the longest common beginning.

    Each part of the tree is trained by one run, the first in order that has it, so no part is trained twice.

    Args:
        runs: The ``beginnings`` of each run by its id, in the order in which they are to be trained.

    Returns:
        By id; a run that shares nothing with an earlier one is left out.
    """
    trained: dict[str, dict[int, tuple[str, int]]] = {}  # by digest: who trained it, from where, by its last iteration
    forks: dict[str, Fork] = {}
    for name, digests in runs.items():
        first = 0
        for last, digest in digests.items():
            known = trained.setdefault(digest, {})
            for end, (parent, begin) in known.items():
                shared = min(end, last)
                if shared > max(begin, first) and (name not in forks or shared > forks[name].iteration):
                    forks[name] = Fork(parent, shared)
            known.setdefault(last, (name, first))
            first = last
    return forks


def iterations_left(runs: Mapping[str, Mapping[int, str]], forks: Mapping[str, Fork]) -> int:
    """Count the iterations that runs train where each begins at its fork.

    Args:
        runs: The ``beginnings`` of each run by its id.
        forks: Where runs begin; the others begin at 0.
    """
    return sum(max(digests) - (forks[name].iteration if name in forks else 0) for name, digests in runs.items())


def share(jobs: Sequence[Job], configs: Mapping[str, Mapping[str, Any]], stored: Iterable[StoredRun]) -> list[Job]:
    """Let jobs begin as other jobs of the list, or as runs of the store, wherever that saves iterations.

    A run that has begun goes on as it is. Others may begin as it where it still lies before the fork.

    Args:
        jobs: Of one plan.
        configs: The resolved recipe of each job by its id.
        stored: The runs of the store.

    Returns:
        The jobs in their order, with parents, and with the options of their commands that this takes.
    """
    runs = list(stored)
    begun = {run.fingerprint: run for run in runs if run.status.iteration > 0 or layout.checkpoints(run.path)}
    digests = {job.fingerprint: _digests(job.fingerprint, configs[job.fingerprint]) for job in jobs}
    order = sorted(digests, key=lambda name: name not in begun)  # those at work first; otherwise as they are
    forks = {
        name: fork
        for name, fork in forks_of({name: digests[name] for name in order if not _finished(begun.get(name))}).items()
        if name not in begun and (fork.parent not in begun or begun[fork.parent].status.iteration < fork.iteration)
    }
    sources = _Sources(runs)
    folders = {job.fingerprint: job.folder for job in jobs}
    kept, shared = defaultdict[str, set[int]](set), {}
    for job in jobs:
        name, fork = job.fingerprint, forks.get(job.fingerprint)
        if name in begun:
            continue
        source, iteration = sources.best(name, digests[name], configs[name])
        if source is not None and iteration >= (fork.iteration if fork else 1):
            shared[name] = job.with_options("--begin-from", str(source))
            shared[name] = replace(shared[name], fork=iteration)
        elif fork is not None:
            kept[fork.parent].add(fork.iteration)
            chosen = job.with_options("--begin-from", folders[fork.parent])
            shared[name] = replace(chosen, parent=fork.parent, fork=fork.iteration)
    made = [shared.get(job.fingerprint, job) for job in jobs]
    return [_keeping(job, kept[job.fingerprint]) for job in made]


def iterations_saved(jobs: Iterable[Job]) -> int:
    """Count the iterations that jobs take over instead of training them."""
    return sum(job.fork for job in jobs)


def _keeping(job: Job, iterations: set[int]) -> Job:
    return job.with_options("--keep-at", *map(str, sorted(iterations))) if iterations else job


def _finished(run: StoredRun | None) -> bool:
    return run is not None and run.state == "finished"


def _digests(name: str, config: Mapping[str, Any]) -> dict[int, str]:
    """Return the beginnings of a run, each with the digest of its data."""
    return {t: f"{digest} {ids.parts(name)[1]}" for t, digest in beginnings(config).items()}


class _Sources:
    """Find the run of a store that another one can begin as."""

    def __init__(self, runs: Iterable[StoredRun]) -> None:
        self.by_seed = defaultdict[int, list[StoredRun]](list)
        for run in runs:
            self.by_seed[run.status.seed].append(run)
        self.known: dict[str, dict[int, str] | None] = {}

    def best(self, name: str, digests: Mapping[int, str], config: Mapping[str, Any]) -> tuple[Path | None, int]:
        """Return the folder of the run with the newest checkpoint of a shared beginning, and its iteration."""
        found: tuple[Path | None, int] = (None, 0)
        for run in self.by_seed[config["runtime"]["seed"]]:
            if run.fingerprint == name or run.status.iterations != max(digests):
                continue
            saved = [iteration for iteration, _ in layout.checkpoints(run.path)]
            if not any(iteration > found[1] for iteration in saved):
                continue
            theirs = self._digests_of(run)
            alike = common(digests, theirs) if theirs is not None else 0
            usable = max((iteration for iteration in saved if iteration <= alike), default=0)
            if usable > found[1]:
                found = run.path, usable
        return found

    def _digests_of(self, run: StoredRun) -> dict[int, str] | None:
        if run.fingerprint not in self.known:
            try:
                self.known[run.fingerprint] = _digests(run.fingerprint, read_config_values(run.path))
            except UserError:
                self.known[run.fingerprint] = None
        return self.known[run.fingerprint]
