"""The runs of a plan as a store has them: with the overrides of the call that trained them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dupl.api.recipes import Overrides, override_values
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.plans.plan import Plan, PlannedRun
    from dupl.runs.calls import Call
    from dupl.runs.store import RunStore


@dataclass(frozen=True)
class Choice:
    """What is shown of a plan.

    Attributes:
        runs: Its runs, then the entries of label maps that stand in its rows.
        overrides: Values by path with which they were trained.
        seeds: Of the runs; None: the plan's.
    """

    runs: list[PlannedRun]
    overrides: dict[str, Any]
    seeds: Sequence[int] | None


def choose_runs(
    plan: Plan,
    store: RunStore,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Overrides = None,
    *,
    data: str | None = None,
    call: int | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Choice:
    """Choose the runs of a plan in a store.

    Args:
        plan: The plan.
        store: The store.
        rows: Keys of rows; None: all.
        seeds: None: those of the call, or the plan's.
        overrides: Values by path; None: those of the last ``dupl ablate`` of the plan in this store.
        data: Digest of the training data, where the store has runs on several and the data are not here.
        call: Number of a call, 1 for the last one; its overrides are taken.
        tell: Called with lines on the call that is taken, and on the others.

    Raises:
        UserError: There is no such row, path, call or data.
    """
    if overrides is None or call is not None:
        last, known = _call(plan, store, call or 1)
        if call is not None and override_values(overrides):
            raise UserError("overrides and the number of a call are given: leave one out")
        for line in _lines(last, known):
            tell(line)
        if last is not None:
            overrides = last.overrides
            seeds = _seeds(plan, last, known) if seeds is None else seeds
    values = override_values(overrides)
    trained = resolved(plan.expand(rows, seeds, values), store, data)
    return Choice([*trained, *plan.label_map_runs(rows, seeds, values)], values, seeds)


def last_overrides(store: RunStore, sweep: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return the overrides of the last ``dupl sweep`` of a name in a store; none where there was no call."""
    from dupl.runs.calls import calls

    found = list(reversed(calls(store.root, "sweep", sweep)))
    for line in _lines(found[0] if found else None, found):
        tell(line)
    return found[0].overrides if found else {}


def resolved(planned: list[PlannedRun], store: RunStore, data: str | None = None) -> list[PlannedRun]:
    """Return planned runs with the ids that they have in a store, see `dupl.plans.resolve`."""
    from dupl.plans.resolve import resolve

    if data is None and not any(run.absent for run in planned):
        return planned
    return resolve(planned, [stored.fingerprint for stored in store.runs()], data)


def _call(plan: Plan, store: RunStore, number: int) -> tuple[Call | None, list[Call]]:
    """Return a call of a plan, counted from the last one, and all of its calls, the last one first."""
    from dupl.runs.calls import calls

    found = list(reversed(calls(store.root, "ablate", plan.name)))
    different = _different(found)
    if number > max(1, len(different)) or number < 1:
        raise UserError(f"there is no call {number} of {plan.name} in {store.root}: it has {len(different)}")
    return (different[number - 1] if different else None), found


def _different(known: list[Call]) -> list[Call]:
    """Return the last call with each set of overrides, from calls in which the last one is first."""
    return [one for k, one in enumerate(known) if one.overrides not in [before.overrides for before in known[:k]]]


def _lines(chosen: Call | None, known: list[Call]) -> list[str]:
    """Return which call is taken, and which others there are; nothing where there is only one way to read the plan."""
    from dupl.plans.commands import choice_words

    if chosen is None:
        return []
    different = _different(known)
    if [one.overrides for one in different] == [{}]:
        return []
    texts = [" ".join(choice_words(overrides=one.overrides)) or "without --set" for one in different]
    place = [one.overrides for one in different].index(chosen.overrides)
    lines = [f"as dupl {chosen.kind} was called at {different[place].time}: {texts[place]}"]
    others = [f"{k + 1}: {texts[k]} ({one.time})" for k, one in enumerate(different) if k != place]
    how = ", by --call N" if chosen.kind == "ablate" else ""
    return lines + ([f"other calls{how}: {'; '.join(others)}"] if others else [])


def _seeds(plan: Plan, chosen: Call, known: list[Call]) -> list[int] | None:
    """Return the seeds of all calls with the same overrides; None where they are the plan's."""
    asked = [one.seeds for one in known if one.overrides == chosen.overrides]
    found = {seed for seeds in asked for seed in (plan.seeds if seeds is None else seeds)}
    return None if found == set(plan.seeds) else sorted(found)
