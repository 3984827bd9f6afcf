"""Choose the evaluations of a table so that all of them are on the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dupl.config.fingerprint import canonical, without_places
from dupl.data.identity import Memo, evaluation_reads
from dupl.errors import UserError
from dupl.runs import ids
from dupl.terminal import counted

if TYPE_CHECKING:
    from dupl.plans.plan import PlannedRun
    from dupl.runs.stored_run import StoredRun


def evaluated_on_one(
    planned: Sequence[PlannedRun],
    there: Mapping[str, StoredRun],
    protocols: Sequence[str],
    named: str | None = None,
    best: Sequence[str] = (),
) -> dict[str, StoredRun]:
    """Return runs whose evaluations that speak for them are on the same data, wherever their recipes say the same.

    Where runs were evaluated on several states of the data, those of the data as they are here now are taken, or the
    ones that the user names. Evaluations whose data an earlier version did not record are kept.

    Args:
        planned: The runs of a plan.
        there: The runs of the store by id.
        protocols: That the table shows.
        named: Digest of data that the user names.
        best: Protocols by which the table shows best weights.

    Raises:
        UserError: Which data are meant is not known here, or there is nothing on the data that are named.
    """
    chosen: dict[str, dict[tuple[str, str], str]] = {}
    memo = Memo()
    known = {data for data in (ids.parts(name)[1] for name in there) if data}
    for entry in sorted({_entry(one.split) for run in there.values() for one in run.evaluations}):
        for group in same_sets(planned, entry):
            members = {run.fingerprint for run in group} & there.keys()
            for place, found in _reads(members, there, protocols, best, entry).items():
                known |= found.keys()
                if len(found) < 2:
                    continue
                digest = named if named in found else evaluation_reads(group[0].values, entry, memo=memo)
                if digest not in found:
                    raise UserError(_told(group[0].plan, place, found))
                for name in members:
                    chosen.setdefault(name, {})[place] = digest
    if named is not None and named not in known:
        raise UserError(f"--data {named}: there are runs and evaluations on {', '.join(sorted(known)) or 'none'}")
    return {name: run.evaluated_on(chosen[name]) if name in chosen else run for name, run in there.items()}


def same_sets(planned: Sequence[PlannedRun], entry: str = "val") -> list[list[PlannedRun]]:
    """Return runs in groups whose recipes name the same data set, wherever it lies.

    Args:
        planned: The runs.
        entry: Of the recipes' data, such as "val" or "train".
    """
    found: dict[str, list[PlannedRun]] = {}
    for run in planned:
        data = run.values.get("data")
        values = data.get(entry) if isinstance(data, dict) else None
        found.setdefault(canonical(without_places(values)), []).append(run)
    return list(found.values())


def _entry(split: str) -> str:
    """Return the entry of the recipe's data that a split, such as "train" or "train-train_aug", is of."""
    return split.partition("-")[0]


def _reads(
    members: set[str], there: Mapping[str, StoredRun], protocols: Sequence[str], best: Sequence[str], entry: str
) -> dict[tuple[str, str], dict[str, int]]:
    """Return the number of runs by the data of the evaluations that speak for them, for each protocol and split."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for name in members:
        for one in there[name].evaluations:
            shown = (one.last and one.protocol in protocols) or (one.best and one.protocol in best)
            if shown and one.read is not None and _entry(one.split) == entry:
                counts = found.setdefault((one.protocol, one.split), {})
                counts[one.read] = counts.get(one.read, 0) + 1
    return found


def _told(plan: str, place: tuple[str, str], found: Mapping[str, int]) -> str:
    protocol, split = place
    listed = ", ".join(f"{digest} ({counted(count, 'run')})" for digest, count in sorted(found.items()))
    return (
        f"runs of {plan} were evaluated on different data of {split} by {protocol}: {listed}; name one by --data, or "
        f"evaluate the others on the same by dupl eval RUN --protocol {protocol} --checkpoint last"
    )
