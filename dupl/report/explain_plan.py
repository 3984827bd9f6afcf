"""Choose the fewest runs that settle what makes two runs differ, and write them as a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config import components
from dupl.config.catalogue import to_text
from dupl.config.check import RECIPE
from dupl.config.fingerprint import canonical
from dupl.report.explain import Difference, Explanation, at, put, recipe_of
from dupl.runs import ids
from dupl.runs.config import read_config_values

if TYPE_CHECKING:
    from dupl.runs.stored_run import StoredRun

MANY = 10  # differences up to which every order is compared
Step = frozenset[int]  # differences that are applied, by number


@dataclass(frozen=True)
class SettlingPlan:
    """A chain of runs from one run to another, each of which differs from the one before in one thing.

    Attributes:
        explanation: Of the two runs.
        existing: Finished runs of the store, of which some may lie on the chain.
    """

    explanation: Explanation
    existing: Sequence[StoredRun]

    @property
    def steps(self) -> list[Difference]:
        """The differences whose effect is not known, in the order of the chain."""
        return [self.explanation.open[number] for number in self._chain]

    @property
    def nodes(self) -> list[Step]:
        """The runs of the chain after the first, each as the differences that are applied."""
        return [frozenset(self._chain[: k + 1]) for k in range(len(self._chain))]

    @property
    def missing(self) -> int:
        """How many runs of the chain have to be trained."""
        return sum(not self._exists(node) for node in self.nodes)

    @cached_property
    def _chain(self) -> list[int]:
        """The order of differences that needs the fewest runs: the shortest path over all sets of differences."""
        count = len(self.explanation.open)
        if count > MANY:
            return list(range(count))
        best: dict[Step, tuple[int, list[int]]] = {frozenset(): (0, [])}
        for size in range(1, count + 1):
            for node in map(frozenset, combinations(range(count), size)):
                cost = 0 if self._exists(node) else 1
                if not self._allowed(node):
                    continue
                ways = [
                    (best[node - {last}][0] + cost, [*best[node - {last}][1], last])
                    for last in sorted(node)
                    if node - {last} in best
                ]
                best[node] = min(ways)
        return best[frozenset(range(count))][1]

    def _exists(self, node: Step) -> bool:
        return canonical(self._values(node)) in self._texts

    def _allowed(self, node: Step) -> bool:
        """Return whether a run may stand between the two: what needs a second student is never without one.

        A step that adds students comes first, and one that takes them away comes last.
        """
        gains = {number: gain for number, one in enumerate(self.explanation.open) if (gain := _gained(one))}
        whole = len(node) == len(self.explanation.open)
        return all(number in node if gain > 0 else number not in node or whole for number, gain in gains.items())

    @cached_property
    def _texts(self) -> set[str]:
        runs = [run for run in (*self.existing, *self.explanation.runs) if run.state == "finished"]
        data = ids.parts(self.explanation.runs[0].fingerprint)[1]
        return {canonical(recipe_of(run)) for run in runs if ids.parts(run.fingerprint)[1] == data}

    def _values(self, node: Step) -> dict[str, Any]:
        """Return the first run's recipe with differences applied, as values that count."""
        values, second = self.explanation.recipes
        for number in sorted(node):
            path = self.explanation.open[number].name
            values = put(values, path, at(second, path))
        return values

    def write(self, file: Path) -> tuple[str, str]:
        """Return the texts of the plan and of the recipe beside it, which is the first run's.

        Args:
            file: Where the plan will lie; the recipe lies beside it, see `base_file`.
        """
        first, second = self.explanation.runs
        base = complete(first)
        changes: dict[str, Any] = {}
        rows: dict[str, Any] = {"first": dict(label=f"{first.path.name}")}
        for number, step in enumerate(self.steps, 1):
            changes = {**changes, step.name: at(self.explanation.recipes[1], step.name)}
            rows[f"step_{number}"] = dict(label=f"+ {step.name}", set=dict(changes))
        plan = dict(
            base=str(base_file(file)),
            seeds=[first.status.seed],
            columns=dict(metric=dict(metric=self.explanation.metric, label=self.explanation.metric)),
            rows=rows,
            compare="previous",
        )
        about = f"What makes {first.path.name} and {second.path.name} differ, one change after the other."
        head = f'"""The recipe of the run {first.path.name}."""\n\n'
        return f'"""{about}"""\n\n{to_text(plan)}', head + to_text(base)


def _gained(one: Difference) -> int:
    """Return how many students a difference adds."""
    counts = []
    for side in (one.old, one.new):
        found = components.find(str(side.get("type"))) if isinstance(side, Mapping) else None
        counts.append(found.students if found is not None else 0)
    return counts[1] - counts[0] if all(counts) else 0


def base_file(file: Path) -> Path:
    """Return where the recipe of a plan lies: beside it."""
    return file.with_name(f"{file.stem}_base.py")


def complete(run: StoredRun) -> dict[str, Any]:
    """Return the whole recipe of a run, without keys that recipes do not have today."""
    values = {key: value for key, value in read_config_values(run.path).items() if key != "work_dir"}
    unknown = RECIPE.unknown_keys(values)
    return _without(values, set(unknown))


def _without(values: Mapping[str, Any], paths: set[str], above: str = "") -> dict[str, Any]:
    found = {}
    for key, value in values.items():
        path = f"{above}.{key}" if above else key
        if path not in paths:
            found[key] = _without(value, paths, path) if isinstance(value, Mapping) else value
    return found
