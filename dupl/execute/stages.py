"""Let runs that share a beginning train it once: each forks from the run that trains the longest part of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dupl.config.prefix import at, beginnings
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
    fresh = {name: found for name, found in digests.items() if name not in begun}
    at_work = {name: found for name, found in digests.items() if name in begun and begun[name].state != "finished"}
    forks = {
        name: fork
        for name, fork in forks_of(at_work | fresh).items()
        if name in fresh and (fork.parent in fresh or begun[fork.parent].status.iteration < fork.iteration)
    }
    checkpoints = checkpoints_of(
        runs, {(configs[name]["runtime"]["seed"], max(found)) for name, found in fresh.items()}
    )
    folders = {job.fingerprint: job.folder for job in jobs}
    kept, shared = defaultdict[str, set[int]](set), {}
    for job in jobs:
        name, fork = job.fingerprint, forks.get(job.fingerprint)
        source, iteration = _newest(checkpoints, digests[name]) if name in fresh else (None, 0)
        if source is not None and iteration >= (fork.iteration if fork else 1):
            shared[name] = job.begins_as(str(source), iteration)
        elif fork is not None:
            kept[fork.parent].add(fork.iteration)
            shared[name] = job.begins_as(folders[fork.parent], fork.iteration, fork.parent)
    return [shared.get(job.fingerprint, job).keeping(kept[job.fingerprint]) for job in jobs]


def checkpoints_of(runs: Iterable[StoredRun], wanted: Container[tuple[int, int | None]]) -> dict[int, dict[str, Path]]:
    """Index the checkpoints of runs by what can act before them.

    Args:
        runs: Of a store.
        wanted: Seeds and numbers of iterations; runs of others share no beginning and are not looked into.

    Returns:
        Folders of runs by iteration, then by the digest of a beginning; the first run that has it.
    """
    found = defaultdict[int, dict[str, Path]](dict)
    for run in runs:
        saved = layout.checkpoints(run.path) if (run.status.seed, run.status.iterations) in wanted else []
        if not saved:
            continue
        try:
            digests = _digests(run.fingerprint, read_config_values(run.path))
        except UserError:
            continue
        for iteration, _ in saved:
            if 0 < iteration <= max(digests):
                found[iteration].setdefault(at(digests, iteration), run.path)
    return found


def _newest(checkpoints: Mapping[int, Mapping[str, Path]], digests: Mapping[int, str]) -> tuple[Path | None, int]:
    """Return the folder with the newest checkpoint that a run can begin as, and its iteration."""
    for iteration in sorted(checkpoints, reverse=True):
        if iteration <= max(digests) and (found := checkpoints[iteration].get(at(digests, iteration))) is not None:
            return found, iteration
    return None, 0


def _digests(name: str, config: Mapping[str, Any]) -> dict[int, str]:
    """Return the beginnings of a run, each with the digest of its data."""
    return {t: f"{digest} {ids.parts(name)[1]}" for t, digest in beginnings(config).items()}
