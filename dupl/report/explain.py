"""Find what makes two runs differ, and how much of it runs of the store show."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any

from dupl.config.fingerprint import canonical, counted
from dupl.config.overrides import ABSENT
from dupl.errors import UnknownKeys, UserError
from dupl.plans.row_configs import SEED, differences
from dupl.runs import ids, layout
from dupl.runs.config import read_config_values
from dupl.runs.reproduce import differences as data_differences
from dupl.runs.seeds import spread_of_seeds
from dupl.runs.selection import metric_of
from dupl.runs.stretches import Stretch, changed, turns

if TYPE_CHECKING:
    from dupl.runs.stored_run import StoredRun

Values = dict[str, Any]
MOST = 2000  # runs of a store that are looked at for effects, the newest first


@dataclass(frozen=True)
class Difference:
    """One thing in which two runs differ.

    Attributes:
        kind: "value" (of the recipe), "seed", "data", or "making" (code, packages, machine).
        name: Path of the value, or what differs.
        old, new: Of the first and of the second run, as plain values.
        effect: Mean difference of the metric between runs of the store that differ in this alone; None where no two do.
        pairs: How many pairs of runs that is the mean of.
        mixed: How many of these pairs also differ in code, packages or machine.
        note: What else is known of it.
    """

    kind: str
    name: str
    old: Any
    new: Any
    effect: float | None = None
    pairs: int = 0
    mixed: int = 0
    note: str = ""


@dataclass(frozen=True)
class Explanation:
    """What makes two runs differ.

    Attributes:
        runs: The two runs.
        metric: Name of the metric.
        values: Of each run; None where it was not measured.
        found: Differences, the largest known effect first, then those of unknown effect.
        notes: What cannot be told.
        recipes: Values of both recipes that count.
    """

    runs: tuple[StoredRun, StoredRun]
    metric: str
    values: tuple[float | None, float | None]
    found: tuple[Difference, ...]
    notes: tuple[str, ...]
    recipes: tuple[Values, Values]

    @property
    def total(self) -> float | None:
        """The second run's value minus the first's."""
        first, second = self.values
        return None if first is None or second is None else second - first

    @property
    def known(self) -> float:
        """Sum of the known effects."""
        return sum(one.effect or 0.0 for one in self.found)

    @property
    def open(self) -> tuple[Difference, ...]:
        """The values of the recipe whose effect is not known, and which a plan can set."""
        values = (one for one in self.found if one.kind == "value" and one.effect is None)
        return tuple(one for one in values if one.new is not ABSENT)


def explain(first: StoredRun, second: StoredRun, stored: Sequence[StoredRun], metric: str) -> Explanation:
    """Compare two runs, and look up the effect of each difference in runs of a store.

    Args:
        first: A run.
        second: Another one.
        stored: Runs of the store, in which effects are looked up.
        metric: Of the last evaluation during training, such as "seg/best/mIoU".

    Raises:
        UserError: The config of one of the two is corrupt.
    """
    recipes = (recipe_of(first), recipe_of(second))
    known = Known.of([first, second, *stored], metric)
    found = [
        *(known.value(one, recipes) for one in value_differences(*recipes)),
        *_seeds(first, second, metric),
        *(known.data(one) for one in _data(first, second)),
        *(known.making(one) for one in _making(first, second)),
    ]
    known_first = sorted(found, key=lambda one: (one.effect is None, -abs(one.effect or 0.0)))
    both = (first, second)
    notes = [f"{run.path} went on in another way {line}" for run in both for line in turns(run.status.history)]
    values = (metric_of(first, metric), metric_of(second, metric))
    notes += [
        f"{run.path} is {run.state} and has no {metric} of an evaluation during training"
        for run, value in zip((first, second), values, strict=True)
        if value is None
    ]
    if len(stored) > MOST:
        notes.append(f"effects are looked up in the newest {MOST} of {len(stored)} runs")
    return Explanation((first, second), metric, values, tuple(known_first), tuple(notes), recipes)


def recipe_of(run: StoredRun) -> Values:
    """Return the values of a run's recipe that can change its result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownKeys)
        return counted(read_config_values(run.path))


def value_differences(first: Values, second: Values) -> Iterator[Difference]:
    """Yield the values in which two recipes differ, without the seed.

    A component whose type differs is one difference with its arguments; so is a section that has a key in one recipe
    alone.
    """
    found = differences(first, second)
    whole = dict.fromkeys(_whole(found))
    for path in whole:
        yield Difference("value", path, at(first, path), at(second, path))
    for path, (old, new) in found.items():
        if path != SEED and not any(path.startswith(f"{top}.") for top in whole):
            yield Difference("value", path, old, new)


def _whole(found: Mapping[str, tuple[Any, Any]]) -> Iterator[str]:
    """Yield the paths of components and sections that are exchanged as a whole."""
    for path, (old, new) in found.items():
        parent, _, key = path.rpartition(".")
        if parent and (key == "type" or old is ABSENT or new is ABSENT):
            yield parent


def at(values: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path; ABSENT where there is none."""
    node: Any = values
    for key in path.split("."):
        node = node.get(key, ABSENT) if isinstance(node, Mapping) else ABSENT
    return node


def put(values: Mapping[str, Any], path: str, value: Any) -> Values:
    """Return a copy of nested values with another one at a path, or none; parts that stay are shared."""
    key, _, rest = path.partition(".")
    if value is ABSENT and not rest:
        return {name: kept for name, kept in values.items() if name != key}
    below = values.get(key)
    new = put(below if isinstance(below, Mapping) else {}, rest, value) if rest else value
    return {**values, key: new}


def _seeds(first: StoredRun, second: StoredRun, metric: str) -> Iterator[Difference]:
    seeds = (first.status.seed, second.status.seed)
    if seeds[0] != seeds[1]:
        yield Difference("seed", SEED, *seeds, note=spread_of_seeds(first.path, metric))


def _data(first: StoredRun, second: StoredRun) -> Iterator[Difference]:
    """Yield the data in which two runs differ, by the content that their training and last evaluation read."""
    digests = [ids.parts(run.fingerprint)[1] for run in (first, second)]
    if digests[0] != digests[1]:
        told = _data_in_words(first, second)
        yield Difference("data", "training data", digests[0] or "generated", digests[1] or "generated", note=told)
    reads = [_read(run) for run in (first, second)]
    if reads[0] != reads[1] and None not in reads:
        yield Difference("data", "evaluated data", reads[0], reads[1])


def _data_in_words(first: StoredRun, second: StoredRun) -> str:
    """Return in what the training data of two runs differ; "" where that was not recorded."""
    records = []
    for run in (first, second):
        try:
            records.append(run.run.read_json(layout.DATA))
        except (UserError, OSError):
            return ""
    if not all(isinstance(one, dict) for one in records):
        return ""
    return "; ".join(f"{one.what}: {one.told}" for one in data_differences(*records) if one.same is False)


def _read(run: StoredRun) -> str | None:
    return next((one.read for one in reversed(run.evaluations) if one.protocol == "train" and one.last), None)


def _making(first: StoredRun, second: StoredRun) -> Iterator[Difference]:
    """Yield in which code, packages and machine the last stretches of two runs differ."""
    for name, (old, new) in changed(_last(first), _last(second)).items():
        yield Difference("making", name, old, new)


def _last(run: StoredRun) -> Stretch:
    history = run.status.history
    return history[-1] if history else Stretch(commit=run.status.commit, dirty=run.status.dirty)


@dataclass(frozen=True)
class Measured:
    """A finished run with its metric, recipe and seed."""

    run: StoredRun
    value: float
    recipe: Values
    text: str
    data: str | None


@dataclass(frozen=True)
class Known:
    """Finished runs in which effects are looked up."""

    runs: Sequence[Measured]

    @classmethod
    def of(cls, stored: Iterable[StoredRun], metric: str) -> Known:
        """Read the runs that have the metric, each folder once."""
        found: dict[str, Measured] = {}
        newest = sorted(stored, key=lambda one: -one.written)[:MOST]
        for run in newest:
            value = metric_of(run, metric) if run.state == "finished" else None
            if value is None or str(run.path.resolve()) in found:
                continue
            try:
                recipe = recipe_of(run)
            except UserError:
                continue
            data = ids.parts(run.fingerprint)[1]
            found[str(run.path.resolve())] = Measured(run, value, recipe, canonical(recipe), data)
        return cls(list(found.values()))

    def value(self, one: Difference, recipes: tuple[Values, Values]) -> Difference:
        """Return a difference in a value with its effect, where runs differ in it alone."""
        old, new = (canonical(_plain(side)) for side in (one.old, one.new))
        after = self._by((measured.text, measured.data) for measured in self.runs)
        pairs = []
        for before in self.runs:
            if canonical(_plain(at(before.recipe, one.name))) == old != new:
                wanted = canonical(put(before.recipe, one.name, at(recipes[1], one.name)))
                pairs += [(before, other) for other in after.get((wanted, before.data), ())]
        return _with_effect(one, pairs)

    def data(self, one: Difference) -> Difference:
        """Return a difference in the training data with its effect, where runs differ in it alone."""
        if one.name != "training data":
            return one
        after = self._by((measured.text, measured.data or "generated") for measured in self.runs)
        before = [measured for measured in self.runs if (measured.data or "generated") == one.old]
        return _with_effect(one, [(m, other) for m in before for other in after.get((m.text, one.new), ())])

    def making(self, one: Difference) -> Difference:
        """Return a difference in code, packages or machine with its effect, where one recipe was trained by both."""
        same = self._by((measured.text, measured.data) for measured in self.runs)
        pairs = [
            (before, after)
            for group in same.values()
            for before in group
            for after in group
            if changed(_last(before.run), _last(after.run)) == {one.name: (one.old, one.new)}
        ]
        return _with_effect(one, pairs, ())

    def _by(self, keys: Iterable[tuple[str, str | None]]) -> dict[tuple[str, str | None], list[Measured]]:
        found: dict[tuple[str, str | None], list[Measured]] = {}
        for key, measured in zip(keys, self.runs, strict=True):
            found.setdefault(key, []).append(measured)
        return found


def _with_effect(
    one: Difference, pairs: Sequence[tuple[Measured, Measured]], making: Sequence[str] | None = None
) -> Difference:
    """Return a difference with the mean effect of pairs; ``making`` () says that code and machine are what differs."""
    if not pairs:
        return one
    mixed = 0 if making == () else sum(bool(changed(_last(a.run), _last(b.run))) for a, b in pairs)
    effect = mean(b.value - a.value for a, b in pairs)
    return Difference(one.kind, one.name, one.old, one.new, effect, len(pairs), mixed, one.note)


def _plain(value: Any) -> Any:
    return "(absent)" if value is ABSENT else value
