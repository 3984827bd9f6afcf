"""Sweeps: searches for the hyper-parameters of a recipe. A file says what varies, by which goal, on which data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE, Schema
from dupl.config.fingerprint import canonical, fingerprint
from dupl.config.kinds import Count, Fault, In
from dupl.errors import UserError
from dupl.plans.constraint import Constraint, read_constraints
from dupl.plans.plan import PlannedRun
from dupl.plans.plan_file import Paths, change, checked, located, merge
from dupl.plans.samplers import read_pruner, read_sampler
from dupl.plans.space import Parameter, Params, changes, check_space, point, read_space

if TYPE_CHECKING:
    from mmengine.config import Config

HOURS = "gpu_hours"  # a goal that is no metric: training seconds x GPUs of a run / 3600


@dataclass(frozen=True)
class GoalFile:
    """A goal of a sweep file.

    Attributes:
        metric: Of the training's own evaluation in its last iteration, or "gpu_hours".
        direction: By default "minimize" for gpu_hours and "maximize" for metrics.
    """

    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"


@dataclass(frozen=True)
class SearchFile:
    """How trials train and are judged: on images held out of training, or as `set` says.

    Attributes:
        share: Of the training images that are held out.
        count: Of the training images that are held out, instead of a share.
        seed: Another seed holds out other images.
        set: Changes of the recipe instead of that.
    """

    share: Annotated[float, In("(0, 1)")] | None = None
    count: Count | None = None
    seed: int = 0
    set: Paths = field(default_factory=dict)


@dataclass(frozen=True)
class ReportFile:
    """How the chosen points are judged in the end.

    Attributes:
        set: Changes of the recipe.
    """

    set: Paths = field(default_factory=dict)


@dataclass(frozen=True)
class SweepFile:
    """A sweep: what varies, by which goal, on which data.

    Attributes:
        base: Recipe that the trials change.
        goal: What is best; several for a front.
        space: The parameters by name, or by the path that one moves.
        sampler: Its `type` and arguments.
        trials: How many, unless the command says otherwise.
        title: One line; the first of the docstring by default.
        set: Changes of all trials, applied first.
        constraints: Relations that every trial keeps, such as "model.tau_l < model.threshold.final".
        start_from: Points to begin with; {} is the recipe's own.
        pruner: Its `type` and arguments; none by default.
        search: How trials train and are judged.
        report: How the chosen points are judged in the end.
    """

    base: str
    goal: GoalFile | list[GoalFile]
    space: dict[str, dict[str, Any]]
    sampler: dict[str, Any]
    trials: Count
    title: str = ""
    set: Paths = field(default_factory=dict)
    constraints: list[str] = field(default_factory=list)
    start_from: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    pruner: dict[str, Any] = field(default_factory=dict)
    search: SearchFile = field(default_factory=lambda: SearchFile(share=0.1))
    report: ReportFile = field(default_factory=ReportFile)


@dataclass(frozen=True)
class Sweep:
    """A search to be.

    Attributes:
        name: Of the sweep file.
        title: One line.
        doc: What the file says of itself.
        base: Recipe that the trials change.
        set: Overrides of all trials, applied first.
        goal: Metric and direction ("maximize" or "minimize"); several for a front. A metric is of the training's own
            evaluation, in its last iteration; "gpu_hours" is what the training took.
        space: Parameters by name.
        constraints: Relations that every trial keeps.
        start_from: Points to begin with, by parameter; the first is trial 0, the paper's.
        sampler, pruner: Name (`type`) and every argument.
        trials: How many, unless the command says otherwise.
        search: Overrides by which trials train and are judged; the data of `report` is not among them.
        report: Overrides by which the chosen points are judged in the end.
        config: The base with `set` and `search`.
        digest: Of everything that makes trials comparable.
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

    @property
    def study(self) -> str:
        """Name of the study: another content of the file is another study."""
        return f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.name).strip('-.') or 'sweep'}-{self.digest}"

    @property
    def evaluations(self) -> int:
        """Of one run, which are the steps that a pruner sees."""
        return self.step(self.config.schedule.iterations, self.config)

    def step(self, iteration: int, config: Config) -> int:
        """Number of the evaluation at an iteration, from 1 on."""
        return int(-(-iteration // config.evaluation.interval))

    def changes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The overrides that parameters stand for."""
        return changes(self.space, params)

    def run(self, params: Mapping[str, Any]) -> PlannedRun:
        """The run of a point.

        Raises:
            UserError: The point does not fit the base.
        """
        config = overrides.apply(self.config, self.changes(params))
        text = ", ".join(f"{self.space[name].label}={_short(value)}" for name, value in params.items())
        differences = {path: (old, new) for path, (old, new) in overrides.diff(self.config, config).items()}
        return PlannedRun(self.name, text, config.runtime.seed, config, fingerprint(config), self.base, differences)

    def violations(self, run: PlannedRun, params: Mapping[str, Any]) -> list[float]:
        """By how much a run breaks each constraint, 0 where it does not."""
        return [max(0.0, one.violation(run.config, params)) for one in self.constraints]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def load(name: str | Path, sets: Mapping[str, Any] | None = None, schema: Schema | None = RECIPE) -> Sweep:
    """Read a sweep file and check it against its base.

    Args:
        name: A name such as "dta_anf" (found as recipes are, in `sweeps`), or the path of a file.
        sets: Values by path that change the base, such as where data lies; they make another study.
        schema: What the recipes of trials may hold; None leaves that open.

    Raises:
        UserError: No such file, or a fault in it; the message names file and line.
    """
    path = catalogue.resolve(name, "sweeps")
    reading = catalogue.declared(path)
    text = str(name).removesuffix(".py")
    doc = catalogue.docstring(path, "sweeps")
    try:
        values = checked(reading.values, SweepFile, "")
        return _read(values, text if text in catalogue.names("sweeps") else path.stem, doc, dict(sets or {}), schema)
    except UserError as error:
        raise located(error, reading.origins) from None


def _read(values: dict[str, Any], name: str, doc: str, sets: dict[str, Any], schema: Schema | None) -> Sweep:
    recipe = catalogue.load(values["base"], schema)
    base = change(recipe, merge(values.get("set", {}), sets), schema, "set")
    report = dict(values.get("report", {}).get("set", {}))
    search = _search(values.get("search", {"share": 0.1}), base)
    config = change(base, search, schema, "search.set")
    if canonical(change(base, report, schema, "report.set").data.val) in _parts(config.data.val):
        raise Fault("search", "is the data of the report, which would choose by what it is judged by")
    space, goal = read_space(values["space"]), read_goal(values["goal"])
    check_space(space, config, schema)
    constraints = read_constraints(values.get("constraints", ()), space, config)
    starts = tuple(point(space, config, given) for given in _points(values.get("start_from", [{}])))
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
    """Of what makes trials comparable: not how many there are to be, nor what the sweep is called."""
    asked = {key: value for key, value in values.items() if key not in ("trials", "title", "report")}
    asked = {**asked, "sampler": sampler, "pruner": pruner, "base": fingerprint(config)}
    return hashlib.sha256(canonical(asked).encode()).hexdigest()[:8]


def _points(values: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    if not values:
        raise Fault("start_from", "is empty: write a list of dicts, of which {} is the base itself")
    return values


def read_goal(value: Any) -> tuple[tuple[str, str], ...]:
    """Return metrics and directions.

    Raises:
        Fault: There is no metric beside the hours.
    """
    goals = []
    for goal in [value] if isinstance(value, dict) else value:
        direction = goal.get("direction", "minimize" if goal["metric"] == HOURS else "maximize")
        goals.append((goal["metric"], direction))
    if not goals or all(metric == HOURS for metric, _ in goals):
        raise Fault("goal", 'has no metric: write dict(metric="seg/best/mIoU", direction="maximize")')
    return tuple(goals)


def _search(spec: dict[str, Any], base: Config) -> dict[str, Any]:
    """Return the overrides of trials: images held out of training, or what the file says."""
    if "set" in spec:
        if len(spec) > 1:
            raise Fault("search", "says too much: write either set={path: value}, or share or count with a seed")
        return dict(spec["set"])
    if ("share" in spec) == ("count" in spec):
        text = "says nothing: write share=0.1 or count=N of the training images to hold out, or set={path: value}"
        raise Fault("search", text)
    part = dict(type="Part", of=catalogue.plain(base.data.train), **spec)
    part.setdefault("seed", 0)
    return {
        "data.train": {**part, "held": False, "split": "train"},
        "data.val": {**part, "held": True, "split": "search"},
    }


def _parts(data: Any) -> list[str]:
    """A data set and the sets that it is a part of, as texts that are equal where the sets are."""
    data, found = catalogue.plain(data), []
    while isinstance(data, dict):
        found.append(canonical(data))
        data = data.get("of")
    return found
