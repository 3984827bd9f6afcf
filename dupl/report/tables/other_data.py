"""Notes on a table where the data that are here now are not those of the store: of its evaluations, or of its runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from dupl.config.fingerprint import places
from dupl.data.identity import evaluation_reads
from dupl.report.tables.evaluated_data import same_sets
from dupl.runs import ids
from dupl.terminal import counted

if TYPE_CHECKING:
    from dupl.plans.plan import PlannedRun
    from dupl.runs.stored_run import StoredRun

REPEATED = ("train", "final")  # protocols by which dupl ablate evaluates again


def other_data_notes(
    planned: Sequence[PlannedRun],
    shown: Mapping[str, StoredRun],
    stored: Iterable[StoredRun],
    protocols: Sequence[str],
    best: Sequence[str] = (),
    *,
    named: str | None = None,
    train: str = "",
) -> list[str]:
    """Say where the numbers of a table are on other data than those that are here now.

    Args:
        planned: The runs of the table.
        shown: The runs that the store has of them, by id, with the evaluations that are shown.
        stored: All runs of the store.
        protocols: That the table shows.
        best: Those by which it shows best weights.
        named: Digest of data that the user asked for, on which there is no note.
        train: The command that trains and evaluates what is missing.
    """
    return [*_evaluations(planned, shown, protocols, best, named, train), *_runs(planned, shown, stored)]


def _evaluations(
    planned: Sequence[PlannedRun],
    shown: Mapping[str, StoredRun],
    protocols: Sequence[str],
    best: Sequence[str],
    named: str | None,
    train: str,
) -> list[str]:
    """Return a note for each validation set that has changed since it was evaluated on."""
    found = []
    for group in same_sets(planned):
        reads: dict[str, set[str]] = {}
        for run in {run.fingerprint: shown.get(run.fingerprint) for run in group}.values():
            for one in run.evaluations if run is not None and run.state == "finished" else ():
                spoken = (one.last and one.protocol in protocols) or (one.best and one.protocol in best)
                of_val = one.split.partition("-")[0] == "val"
                if spoken and of_val and one.protocol in REPEATED and one.read is not None:
                    reads.setdefault(one.read, set()).add(run.fingerprint if run is not None else "")
        data = group[0].values.get("data")
        in_files = isinstance(data, Mapping) and places(data.get("val"))
        now = evaluation_reads(group[0].values) if in_files and reads else None
        for digest, runs in sorted(reads.items()):
            if now is not None and digest not in (now, named):
                about = f"{counted(len(runs), 'run')} of this table: evaluated on other validation data ({digest})"
                found.append(f"{about} than those that are here now ({now}); {train or 'dupl ablate'} evaluates again")
    return found


def _runs(planned: Sequence[PlannedRun], shown: Mapping[str, StoredRun], stored: Iterable[StoredRun]) -> list[str]:
    """Return a note for each state of the training data on which there are runs that are missing on today's."""
    missing = {ids.parts(run.fingerprint)[0] for run in planned if run.fingerprint not in shown}
    found: dict[str, int] = {}
    for name in dict.fromkeys(run.fingerprint for run in stored):
        config, data = ids.parts(name)
        if config in missing and data is not None:
            found[data] = found.get(data, 0) + 1
    return [
        f"{counted(count, 'run')} of this table on other training data ({data}): --data {data} shows them"
        for data, count in sorted(found.items())
    ]
