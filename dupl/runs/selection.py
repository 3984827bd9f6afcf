"""Choose runs of a store by name, state and age."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from dupl.errors import UserError
from dupl.runs import layout
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
        names: Fingerprints or folders; all where there are none.
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
            place = Path(name).resolve()
            mine = {s.path for s in found if str(name) == s.fingerprint or place == s.path.resolve()}
            if not mine:
                raise UserError(_unknown(name))
            chosen |= mine
        found = [s for s in found if s.path in chosen]
    now = datetime.now(timezone.utc)
    return [
        s
        for s in found
        if (states is None or s.state in states)
        and (older is None or now - last_seen(s) > older)
        and (newer is None or now - last_seen(s) <= newer)
    ]


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
