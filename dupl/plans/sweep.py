"""A sweep: the search for hyper-parameters of a recipe, by a goal, on a search split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE, Schema
from dupl.config.fingerprint import canonical, config_id
from dupl.config.kinds import Fault
from dupl.data.identity import Memo
from dupl.errors import UserError
from dupl.places import find_data
from dupl.plans.checks import change, checked, located, merge
from dupl.plans.constraint import Constraint, read_constraints
from dupl.plans.metric_check import check_metric, most_students
from dupl.plans.parameter import Parameter, Params
from dupl.plans.plan import PlannedRun
from dupl.plans.samplers import read_pruner, read_sampler
from dupl.plans.space import changes, check_space, point
from dupl.plans.space_file import read_space
from dupl.plans.sweep_file import HOURS, SweepFile, read_goal, read_points, read_search

if TYPE_CHECKING:
    from mmengine.config import Config

STUDENTS = {"model", "model.type", "model.students", "model.students.type"}  # paths that may change their number


@dataclass(frozen=True)
class Sweep:
    """The search for hyper-parameters of a recipe.

    Attributes:
        name: Name of the sweep file.
        title: Title, one line.
        doc: Docstring of the file.
        base: Recipe that the trials change.
        set: Changes of all trials by path, applied first.
        goal: Metrics with their direction ("maximize" or "minimize"); several make a Pareto front. A metric is measured
            by the last evaluation of training; "gpu_hours" is what the training takes, shared beginnings included.
        space: Parameters by name.
        constraints: Relations that every trial keeps.
        start_from: Points to begin with; the first is trial 0, the paper's.
        sampler, pruner: Name (`type`) and every argument.
        trials: Number of trials, unless the command says otherwise.
        search: Changes by which trials train and are evaluated; they do not contain the data of `report`.
        report: Changes by which the chosen points are evaluated in the end.
        config: The base with `set` and `search`.
        digest: Digest of everything that makes trials comparable, but for the content of data.
        memo: Data that were identified before; they are identified once for all trials.
    """

    name: str
    title: str
    doc: str
    base: str
    set: dict[str, Any]
    goal: tuple[tuple[str, str], ...]
    space: dict[str, Parameter]
    constraints: tuple[Constraint, ...]
    start_from: tuple[Params, ...]
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    trials: int
    search: dict[str, Any]
    report: dict[str, Any]
    config: Config = field(repr=False, compare=False)
    digest: str = ""
    memo: Memo = field(default_factory=Memo, repr=False, compare=False)

    @property
    def study(self) -> str:
        """Name of the study; a file with other contents has another study."""
        return f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.name).strip('-.') or 'sweep'}-{self.digest}"

    @property
    def evaluations(self) -> int:
        """Number of evaluations of one run, which are the steps that a pruner sees."""
        return self.step(self.config.schedule.iterations, self.config)

    def step(self, iteration: int, config: Config) -> int:
        """Return the number of the evaluation at an iteration, from 1 on."""
        return int(-(-iteration // config.evaluation.interval))

    def changes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changes of the config, by path, that parameters stand for."""
        return changes(self.space, params)

    @cached_property
    def _base(self) -> dict[str, Any]:
        """The values of the resolved base."""
        values: dict[str, Any] = catalogue.plain(self.config)
        return values

    def run(self, params: Mapping[str, Any]) -> PlannedRun:
        """Return the run of a point.

        Raises:
            UserError: The point does not fit the base.
        """
        values = overrides.apply_to_values(self._base, self.changes(params))
        text = ", ".join(f"{self.space[name].label}={_short(value)}" for name, value in params.items())
        differences = overrides.diff_values(self._base, values)
        return PlannedRun.of(self.name, text, values, self.base, differences, self.memo)

    def violations(self, run: PlannedRun, params: Mapping[str, Any]) -> list[float]:
        """Return by how much a run breaks each constraint, 0 where it does not."""
        return [max(0.0, one.violation(run.config, params)) for one in self.constraints]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def load(name: str | Path, sets: Mapping[str, Any] | None = None, schema: Schema | None = RECIPE) -> Sweep:
    """Read a sweep file and check it against its base.

    Args:
        name: A name such as "dta_anf" (found as recipes are, in `sweeps`), or the path of a file.
        sets: Values by path that change the base, such as where data lies; they make it another study.
        schema: What the recipes of trials may contain; None leaves that open.

    Raises:
        UserError: There is no such sweep, or it has a fault, and the message names file and line; or a value of `sets`
            does not fit, and the message names that one.
    """
    path = catalogue.resolve(name, "sweeps")
    reading = catalogue.declared(path)
    text = str(name).removesuffix(".py")
    doc = catalogue.docstring(path, "sweeps")
    try:
        values = checked(reading.values, SweepFile, "")
        stated = change(catalogue.load(values["base"], schema), values.get("set", {}), schema, "set")
    except UserError as error:
        raise located(error, reading.origins) from None
    base = overrides.apply(stated, sets or {}, schema)  # a fault here is not one of the file
    try:
        sweep_name = text if text in catalogue.names("sweeps") else path.stem
        return _read(values, sweep_name, doc, dict(sets or {}), base, schema)
    except UserError as error:
        raise located(error, reading.origins) from None


def _read(
    values: dict[str, Any], name: str, doc: str, sets: dict[str, Any], base: Config, schema: Schema | None
) -> Sweep:
    report = dict(values.get("report", {}).get("set", {}))
    search = read_search(values.get("search", {"share": 0.1}), base)
    config = change(base, search, schema, "search.set")
    reported = _parts(change(base, report, schema, "report.set").data.val)[:1]
    if reported and reported[0] in _parts(config.data.val):
        raise Fault(
            "search",
            "is the data of the report: points may not be chosen by the data that they are evaluated on in the end",
        )
    space, goal = read_space(values["space"]), read_goal(values["goal"])
    searched = {path for parameter in space.values() for path in parameter.paths}
    students = None if searched & STUDENTS else most_students([catalogue.plain(config)])
    for metric, _ in goal:
        if schema is RECIPE and metric != HOURS:
            check_metric(metric, catalogue.plain(config), "train", "goal", students)
    check_space(space, config, schema)
    constraints = read_constraints(values.get("constraints", ()), space, config)
    starts = tuple(point(space, config, given) for given in read_points(values.get("start_from", [{}])))
    steps = -(-config.schedule.iterations // config.evaluation.interval)
    sampler, pruner = read_sampler(values["sampler"], goal), read_pruner(values.get("pruner", {}), goal, steps)
    sweep = Sweep(
        name=name,
        title=values.get("title", doc.partition("\n")[0].rstrip(".")) or name,
        doc=doc,
        base=values["base"],
        set=merge(values.get("set", {}), sets),
        goal=goal,
        space=space,
        constraints=constraints,
        start_from=starts,
        sampler=sampler,
        pruner=pruner,
        trials=values["trials"],
        search=search,
        report=report,
        config=config,
        digest=_digest(values, sampler, pruner, config),
    )
    for start in starts:
        broken = [c.text for c, by in zip(constraints, sweep.violations(sweep.run(start), start), strict=True) if by]
        if broken:
            raise Fault("start_from", f"{start} breaks {broken[0]}", about="start_from:")
    return sweep


def _digest(values: Mapping[str, Any], sampler: Any, pruner: Any, config: Config) -> str:
    """Return a digest of what makes trials comparable: neither their number nor the name of the sweep."""
    asked = {key: value for key, value in values.items() if key not in ("trials", "title", "report")}
    asked = {**asked, "sampler": sampler, "pruner": pruner, "base": config_id(config)}
    return hashlib.sha256(canonical(asked).encode()).hexdigest()[:8]


def _parts(data: Any) -> list[str]:
    """Return a data set and the sets that it is a part of, as texts that are equal where the sets are.

    Paths of one folder are one text, however they are written.
    """
    data, found = _resolved(catalogue.plain(data)), []
    while isinstance(data, dict):
        found.append(canonical(data))
        data = data.get("of")
    return found


def _resolved(data: Any) -> Any:
    """Copy the arguments of a data set with the root as an absolute path, also of the sets that it is a part of."""
    if not isinstance(data, dict):
        return data
    roots = {"root": str(find_data(data["root"]).resolve())} if isinstance(data.get("root"), str) else {}
    return {key: _resolved(value) for key, value in data.items()} | roots
