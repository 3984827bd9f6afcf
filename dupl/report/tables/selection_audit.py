"""Look in a store for the choices behind a column that its metrics do not show: thresholds and swept values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dupl.config.fingerprint import canonical, without_places
from dupl.errors import UserError
from dupl.plans.sweep import Sweep, load
from dupl.report.tables.selection import Rule, recipe_rules, threshold_rules
from dupl.runs import layout
from dupl.runs.calls import called, calls
from dupl.runs.config import read_config_values
from dupl.runs.files import read_json

if TYPE_CHECKING:
    from dupl.plans.plan import PlannedRun
    from dupl.report.tables.column import Evidence
    from dupl.runs.store import RunStore
    from dupl.runs.stored_run import StoredRun


@dataclass(frozen=True)
class Audit:
    """The choices that a store shows for the columns of a table.

    Attributes:
        planned: Runs of the table.
        shown: The store's runs of them by id.
        stored: All runs of the store.
        store: The store.
    """

    planned: Sequence[PlannedRun]
    shown: Mapping[str, StoredRun]
    stored: Sequence[StoredRun]
    store: RunStore
    lost: list[str] = field(default_factory=list)

    def rules(self, evidence: Evidence) -> list[Rule]:
        """Return the choices behind a column."""
        runs = set(evidence.used["fingerprint"])
        recipes = {run.fingerprint: run.values for run in self.planned if run.fingerprint in runs}
        found = recipe_rules(evidence.column, recipes.values())
        found += threshold_rules(evidence.column, evidence.split, list(self._thresholds(evidence, recipes)))
        if evidence.split.startswith("val"):
            found += [rule for sweep in self._sweeps if (rule := self._swept(sweep, recipes)) is not None]
        return found

    def notes(self) -> list[str]:
        """Return notes on what could not be looked at."""
        _ = self._sweeps
        return self.lost

    def _thresholds(
        self, evidence: Evidence, recipes: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[tuple[float | None, Sequence[float]]]:
        """Yield the CAM threshold of each run, and the best ones of curves of the table's runs on the same split."""
        if not evidence.column.metric.startswith("cam/"):
            return
        own: dict[str, float | None] = {}
        best: list[float] = []
        for name, recipe in recipes.items():
            own[name] = (recipe.get("evaluation") or {}).get("cam_threshold")
            for one in self.shown[name].evaluations:
                if one.split == evidence.split and one.protocol == "cam":
                    tops = (_facts(one.folder).get("best_threshold") or {}).values()
                    best += [float(top["threshold"]) for top in tops if "threshold" in top]
                if one.split == evidence.split and evidence.column.shows(one):
                    own[name] = _facts(one.folder).get("cam_threshold", own[name])
        yield from ((value, best) for value in own.values())

    @cached_property
    def _sweeps(self) -> list[Sweep]:
        """Sweeps that were called in this store, as their files stand."""
        found = []
        for name in called(self.store.root, "sweep"):
            for call in calls(self.store.root, "sweep", name):
                try:
                    found.append(load(name, call.overrides))
                except UserError as error:
                    self.lost.append(f"whether the sweep {name} saw the split of a column is not known: {error}")
        return found

    def _swept(self, sweep: Sweep, recipes: Mapping[str, Mapping[str, Any]]) -> Rule | None:
        """Return what a sweep chose whose trials were evaluated on the data of these recipes; None for nothing."""
        paths = [path for parameter in sweep.space.values() for path in parameter.paths]
        starts = [_at(sweep.run(start).values, paths) for start in sweep.start_from]
        trained = {name: _at(values, paths) for name, values in recipes.items() if _saw(sweep, values)}
        moved = {name: values for name, values in trained.items() if values not in starts}
        if not moved:
            return None
        tried = [_at(values, paths) for values in self._configs if _saw(sweep, values, own=True)]
        if not (count := sum(values in tried for values in moved.values())):
            return None
        text = f"values of {', '.join(paths)} found by the sweep {sweep.name}, whose trials were evaluated on the same"
        return Rule("sweep", f"{text} data, in {count} of {len(recipes)} runs")

    @cached_property
    def _configs(self) -> list[dict[str, Any]]:
        """Recipes of the store's runs that are not in the table."""
        found = []
        for run in self.stored:
            if run.fingerprint not in self.shown:
                try:
                    found.append(read_config_values(run.path))
                except UserError:
                    continue
        return found


def _facts(folder: Any) -> dict[str, Any]:
    try:
        found = read_json(folder / layout.METRICS)
    except (OSError, ValueError, UserError):
        return {}
    return found if isinstance(found, dict) else {}


def _at(values: Mapping[str, Any], paths: Sequence[str]) -> list[str]:
    """Return the values at paths, as texts that are equal where the values are."""
    found = []
    for path in paths:
        node: Any = values
        for key in path.split("."):
            node = node.get(key) if isinstance(node, Mapping) else None
        found.append(canonical(node))
    return found


def _saw(sweep: Sweep, values: Mapping[str, Any], own: bool = False) -> bool:
    """Return whether the trials of a sweep were evaluated on the data.val of a recipe, or on a part or whole of it.

    Args:
        sweep: The sweep.
        values: The recipe.
        own: Whether the data have to be exactly those of the trials.
    """
    trials, reported = (_chain((one.get("data") or {}).get("val")) for one in (sweep.config, values))
    if not trials or not reported:
        return False
    same = trials[0] == reported[0]
    return same if own else same or reported[0] in trials or trials[0] in reported


def _chain(entry: Any) -> list[str]:
    """Return a data set and the sets that it is a part of, wherever they lie, as texts."""
    from dupl.config.text import plain

    found, entry = [], plain(entry)
    while isinstance(entry, dict) and "type" in entry:
        found.append(canonical(without_places(entry)))
        entry = entry.get("of")
    return found
