"""Find the runs of a plan in a store where the data are not here, by the data of the runs that it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dupl.config.fingerprint import canonical, files_of, weight_files, without_places
from dupl.errors import UserError
from dupl.plans.plan import PlannedRun
from dupl.runs import ids


def resolve(planned: Sequence[PlannedRun], stored: Iterable[str], data: str | None = None) -> list[PlannedRun]:
    """Return planned runs with the ids that they have in a store.

    A run whose data are here has its id. For the others the store's runs of the same config say which data they were
    trained on; all of them have to agree.

    Args:
        planned: The runs of a plan.
        stored: Ids of the runs of a store.
        data: Digest of the training data to take, where the store has runs on several.

    Raises:
        UserError: The store has runs on several data, of which none is named; or runs differ only in files that are
            not here.
    """
    known: dict[str, set[str]] = {}
    for one in stored:
        config, digest = ids.parts(one)
        if digest is not None:
            known.setdefault(config, set()).add(digest)
    configs = {run.fingerprint: ids.parts(run.fingerprint)[0] for run in planned}
    chosen: dict[str, str] = {}
    for key, group in _by_data(planned).items():
        found = set().union(*(known.get(configs[run.fingerprint], set()) for run in group))
        if data is not None and data in found:
            chosen[key] = data
        elif group[0].absent and len(found) > 1:
            about = f"the store has runs of {group[0].plan} on different training data, {_listed(found)}"
            raise UserError(f"{about}, and which is meant is not known here ({group[0].absent}): name one by --data")
        elif group[0].absent and found:
            (chosen[key],) = found
    _check_files(planned)
    return [
        replace(run, fingerprint=f"{configs[run.fingerprint]}-{chosen[key]}")
        if (key := _data_of(run)) in chosen
        else run
        for run in planned
    ]


def _by_data(planned: Sequence[PlannedRun]) -> dict[str, list[PlannedRun]]:
    found: dict[str, list[PlannedRun]] = {}
    for run in planned:
        found.setdefault(_data_of(run), []).append(run)
    return found


def _data_of(run: PlannedRun) -> str:
    """Return what a recipe says of what its training reads, but for where it lies, as text."""
    data = run.values.get("data")
    entry = data.get("train") if isinstance(data, dict) else None
    return canonical([without_places(entry), len(list(weight_files(run.values.get("model")))), bool(run.absent)])


def _check_files(planned: Sequence[PlannedRun]) -> None:
    """Check that no two runs whose data are not here differ only in their files."""
    seen: dict[str, tuple[str, str]] = {}
    for run in planned:
        if not run.absent:
            continue
        files = files_of(run.values)
        row, before = seen.setdefault(run.fingerprint, (run.row, files))
        if before != files:
            raise UserError(
                f"rows {row} and {run.row} of {run.plan} differ only in files, which are not here ({run.absent}): "
                "run the command where they are"
            )


def _listed(digests: Iterable[str]) -> str:
    return ", ".join(sorted(digests)) or "none"
