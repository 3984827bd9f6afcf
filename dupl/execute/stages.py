"""Let runs that share a beginning train it once: each forks from the run that trains the longest part of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config.prefix import at, beginnings
from dupl.errors import UserError
from dupl.execute.job import Job
from dupl.execute.own_classes import learn_own_classes
from dupl.runs import ids, layout
from dupl.runs.config import read_config_values
from dupl.runs.run import folder_name
from dupl.runs.stored_run import StoredRun

if TYPE_CHECKING:
    from dupl.plans.plan import PlannedRun


@dataclass(frozen=True)
class Fork:
    """Where a run leaves another one.

    Attributes:
        parent: Id of the run that trains the shared beginning.
        iteration: Number of iterations that both have in common, at least 1.
    """

    parent: str
    iteration: int


LEAST = 0.05  # share of a run that beginning as another one must save: a fork costs a checkpoint


def forks_of(runs: Mapping[str, Mapping[int, str]], least: float = 0.0) -> dict[str, Fork]:
    """Find for each run the earlier run with the longest common beginning.

    Each part of the tree is trained by one run, the first in order that has it, so no part is trained twice.

    Args:
        runs: The ``beginnings`` of each run by its id, in the order in which they are to be trained.
        least: The share of a run's iterations that a fork must save.

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
                if shared < least * max(digests):
                    continue
                if shared > max(begin, first) and (name not in forks or shared > forks[name].iteration):
                    forks[name] = Fork(parent, shared)
            known.setdefault(last, (name, first))
            first = last
    return forks


def share(
    jobs: Sequence[Job],
    configs: Mapping[str, Mapping[str, Any]],
    stored: Iterable[StoredRun],
    before: Sequence[PlannedRun] = (),
    after: Sequence[PlannedRun] = (),
) -> list[Job]:
    """Let jobs begin as other jobs of the list, or as runs of the store, wherever that saves iterations.

    A run that has begun goes on as it is. Others may begin as it where it still lies before the fork.

    Args:
        jobs: Of one plan.
        configs: The resolved recipe of each job by its id.
        stored: The runs of the store.
        before: Runs of other plans that will have been trained before; jobs may begin as one of them.
        after: Runs of other plans that will be trained later; checkpoints are kept where one will begin.

    Returns:
        The jobs in their order, with parents, and with the options of their commands that this takes.
    """
    runs = list(stored)
    learn_own_classes([*configs.values(), *(run.values for run in (*before, *after))])
    begun = {run.fingerprint: run for run in runs if run.status.iteration > 0 or layout.checkpoints(run.path)}
    earlier = {run.fingerprint: run for run in before if run.fingerprint not in begun}
    later = {run.fingerprint: run for run in after if run.fingerprint not in begun}
    digests = {job.fingerprint: digests_of(job.fingerprint, configs[job.fingerprint]) for job in jobs}
    fresh = {name: found for name, found in digests.items() if name not in begun and name not in earlier}
    at_work = {name: found for name, found in digests.items() if name in begun and begun[name].state != "finished"}
    tree = at_work | {name: digests_of(name, run.values) for name, run in earlier.items()} | fresh
    tree |= {name: digests_of(name, run.values) for name, run in later.items() if name not in tree}
    forks = {
        name: fork
        for name, fork in forks_of(tree, LEAST).items()
        if name not in begun and (fork.parent not in begun or begun[fork.parent].status.iteration < fork.iteration)
    }
    checkpoints = checkpoints_of(
        runs, {(configs[name]["runtime"]["seed"], max(found)) for name, found in fresh.items()}
    )
    folders = {job.fingerprint: job.folder for job in jobs}
    kept, shared = defaultdict[str, set[int]](set), {}
    for name in later.keys() - fresh.keys():
        if name in forks and forks[name].parent in digests:
            kept[forks[name].parent].add(forks[name].iteration)
    for job in jobs:
        name, fork = job.fingerprint, forks.get(job.fingerprint) if job.fingerprint in fresh else None
        source, iteration = newest(checkpoints, digests[name]) if name in fresh else (None, 0)
        if source is not None and iteration >= (fork.iteration if fork else LEAST * max(digests[name])):
            shared[name] = job.begins_as(str(source), iteration)
        elif fork is not None and fork.parent not in folders:
            recipe = earlier[fork.parent].recipe
            shared[name] = job.begins_as(str(Path(job.root) / folder_name(recipe, fork.parent)), fork.iteration)
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
            digests = digests_of(run.fingerprint, read_config_values(run.path))
        except UserError:
            continue
        for iteration, _ in saved:
            if 0 < iteration <= max(digests):
                found[iteration].setdefault(at(digests, iteration), run.path)
    return found


def newest(checkpoints: Mapping[int, Mapping[str, Path]], digests: Mapping[int, str]) -> tuple[Path | None, int]:
    """Return the folder with the newest checkpoint that a run can begin as, and its iteration; None and 0 without one.

    Args:
        checkpoints: As `checkpoints_of` returns them.
        digests: The ``beginnings`` of the run, with the digest of its data.
    """
    for iteration in sorted(checkpoints, reverse=True):
        if iteration <= max(digests) and (found := checkpoints[iteration].get(at(digests, iteration))) is not None:
            return found, iteration
    return None, 0


def digests_of(name: str, config: Mapping[str, Any]) -> dict[int, str]:
    """Return the beginnings of a run, each with the digest of its data.

    Args:
        name: Id of the run.
        config: Its resolved recipe.
    """
    return {t: f"{digest} {ids.parts(name)[1]}" for t, digest in beginnings(config).items()}
