"""Choose runs of a store by name, state and age."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from dupl.errors import UserError
from dupl.runs import ids, layout
from dupl.runs.stored_run import StoredRun, open_run


def select(
    runs: Iterable[StoredRun],
    names: Sequence[str | Path] = (),
    states: Sequence[str] | None = None,
    older: timedelta | None = None,
    newer: timedelta | None = None,
) -> list[StoredRun]:
    """Return the runs that meet every condition, in their order.

    Args:
        runs: Which to choose from.
        names: Fingerprints (of an earlier version too, as folders are called) or folders; all where there are none.
        states: All where None.
        older: Only runs that ended, or were last heard of, longer ago.
        newer: Only those at most so long ago.

    Raises:
        UserError: A name is that of no run.
    """
    found = list(runs)
    if names:
        chosen: set[Path] = set()
        for name in names:
            chosen |= _named(found, name)
        found = [s for s in found if s.path in chosen]
    now = datetime.now(timezone.utc)
    return [
        s
        for s in found
        if (states is None or s.state in states)
        and (older is None or now - last_seen(s) > older)
        and (newer is None or now - last_seen(s) <= newer)
    ]


def _named(found: Sequence[StoredRun], name: str | Path) -> set[Path]:
    """Return the folders of the runs that a name means.

    Raises:
        UserError: It is that of no run, or of runs with several ids.
    """
    place = Path(name).resolve()
    exact = {s.path for s in found if str(name) == s.fingerprint or place == s.path.resolve()}
    if exact:
        return exact
    close = [s for s in found if _is_called(s, str(name))]
    if not close:
        raise UserError(_unknown(name))
    if len(names := sorted({s.fingerprint for s in close})) > 1:
        raise UserError(f"{name} is the beginning of several fingerprints: give one of {', '.join(names)}")
    return {s.path for s in close}


def ids_of_today(runs: Iterable[StoredRun], names: Iterable[str]) -> list[str]:
    """Return the ids of runs for fingerprints as `select` takes them; that of no run is returned as it is.

    Raises:
        UserError: A name is that of runs with several ids.
    """
    found, told = list(runs), []
    known = {stored.fingerprint for stored in found}
    for name in names:
        called = set() if name in known else {s.fingerprint for s in found if _is_called(s, name)}
        if len(called) > 1:
            raise UserError(f"{name} is the beginning of several fingerprints: give one of {', '.join(sorted(called))}")
        told.append(called.pop() if called else name)
    return told


def _unknown(name: str | Path) -> str:
    """Return why a name is that of no run: the folder is corrupt, or there is none."""
    folder = Path(name)
    if (folder / layout.STATUS).exists():
        try:
            open_run(folder)
        except UserError as error:
            return f"{folder} cannot be read: {error}"
        return f"{folder} lies outside the store: name the store that holds it (--root)"
    if (folder / layout.CONFIG).exists():
        return f"{folder} cannot be read: {layout.STATUS} is missing; dupl train RECIPE --resume restores it"
    return f"no run {name} in the store: give a fingerprint or a folder that dupl runs lists"


def _is_called(stored: StoredRun, name: str) -> bool:
    """Whether a name is the part of a run's id that is of the config, or the id in its folder's name."""
    in_folder = bool(ids.ID.fullmatch(f"-{name}")) and stored.path.name.endswith(f"-{name}")
    return in_folder or name == ids.parts(stored.fingerprint)[0]


def metric_of(stored: StoredRun, metric: str) -> float | None:
    """Return a metric of a run's last evaluation during training; None where there is none."""
    found = [one for one in stored.evaluations if one.protocol == "train" and one.last and metric in one.metrics]
    value = found[-1].metrics[metric] if found else math.nan
    return None if math.isnan(value) else value


def last_seen(stored: StoredRun) -> datetime:
    """Return when a run ended; if it did not, or its process died, when its status was last written."""
    if stored.status.ended is not None:
        try:
            when = datetime.fromisoformat(stored.status.ended)
            return when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)
        except ValueError:
            pass
    return datetime.fromtimestamp(stored.written, timezone.utc)
