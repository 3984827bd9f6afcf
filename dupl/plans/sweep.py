"""Sweeps: searches for the hyper-parameters of a recipe. A file says what varies, by which goal, on which data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config import catalogue, overrides
from dupl.config.fingerprint import canonical, fingerprint
from dupl.errors import UserError
from dupl.plans.constraint import Constraint, read_constraints
from dupl.plans.plan import PlannedRun
from dupl.plans.plan_file import DICT, LIST, STRING, Shape, checked, merge, unknown
from dupl.plans.samplers import read_pruner, read_sampler
from dupl.plans.space import Parameter, Params, changes, point, prove, read_space

if TYPE_CHECKING:
    from mmengine.config import Config

HOURS = "gpu_hours"  # a goal that is no metric: training seconds x GPUs of a run / 3600
SWEEP: Shape = dict(
    base=STRING,
    title=STRING,
    set=DICT,
    goal=(*DICT, *LIST),
    space=DICT,
    constraints=LIST,
    start_from=LIST,
    sampler=DICT,
    pruner=DICT,
    trials=(int,),
    search=DICT,
    report=DICT,
)
SEARCH: Shape = dict(share=(float,), count=(int,), seed=(int,), set=DICT)
GOAL: Shape = dict(metric=STRING, direction=STRING)


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


def load(name: str | Path, sets: Mapping[str, Any] | None = None) -> Sweep:
    """Reads a sweep file and proves it against its base.

    Args:
        name: A name such as "dta_anf" (found as recipes are, in `sweeps`), or the path of a file.
        sets: Values by path that change the base, such as where data lies; they make another study.

    Raises:
        UserError: No such file, or it is no good; the message names it.
    """
    path = catalogue.resolve(name, "sweeps")
    values = catalogue.plain(catalogue.load(path, "sweeps"))
    text = str(name).removesuffix(".py")
    doc = catalogue.docstring(path, "sweeps")
    try:
        return _read(values, text if text in catalogue.names("sweeps") else path.stem, doc, dict(sets or {}))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _read(values: dict[str, Any], name: str, doc: str, sets: dict[str, Any]) -> Sweep:
    checked(values, SWEEP, "sweep", ["base", "goal", "space", "sampler", "trials"])
    base = overrides.apply(catalogue.load(values["base"]), merge(values.get("set", {}), sets))
    report = _report(values.get("report", {}))
    search = _search(values.get("search", {"share": 0.1}), base)
    config = overrides.apply(base, search)
    if canonical(overrides.apply(base, report).data.val) in _parts(config.data.val):
        raise UserError("search: it is the data of the report, which would choose by what it is judged by")
    space, goal = read_space(values["space"]), read_goal(values["goal"])
    prove(space, config)
    constraints = read_constraints(values.get("constraints", ()), space, config)
    starts = tuple(point(space, config, given) for given in _dicts(values.get("start_from", [{}])))
    if values["trials"] < 1:
        raise UserError(f"trials is {values['trials']}: write at least 1")
    catalogue.at_least(1, config.evaluation, "evaluation", "interval")
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
            raise UserError(f"start_from: {start} breaks {broken[0]}")
    return sweep


def _digest(values: Mapping[str, Any], sampler: Any, pruner: Any, config: Config) -> str:
    """Of what makes trials comparable: not how many there are to be, nor what the sweep is called."""
    asked = {key: value for key, value in values.items() if key not in ("trials", "title", "report")}
    asked = {**asked, "sampler": sampler, "pruner": pruner, "base": fingerprint(config)}
    return hashlib.sha256(canonical(asked).encode()).hexdigest()[:8]


def _dicts(values: Sequence[Any]) -> Sequence[dict[str, Any]]:
    if not values or not all(isinstance(value, dict) for value in values):
        raise UserError("start_from: write a list of dicts, of which {} is the base itself")
    return values


def read_goal(value: Any) -> tuple[tuple[str, str], ...]:
    """Metrics and directions.

    Raises:
        UserError: One is not well-formed.
    """
    goals = []
    for one in [value] if isinstance(value, dict) else value:
        goal = checked(one, GOAL, "goal", ["metric"])
        direction = goal.get("direction", "minimize" if goal["metric"] == HOURS else "maximize")
        if direction not in ("maximize", "minimize"):
            raise unknown("goal.direction is", direction, ["maximize", "minimize"])
        goals.append((goal["metric"], direction))
    if not goals or all(metric == HOURS for metric, _ in goals):
        raise UserError('goal: write dict(metric="seg/best/mIoU", direction="maximize")')
    return tuple(goals)


def _search(spec: dict[str, Any], base: Config) -> dict[str, Any]:
    """The overrides of trials: images held out of training, or what the file says."""
    checked(spec, SEARCH, "search")
    if "set" in spec:
        if len(spec) > 1:
            raise UserError("search: write either set={path: value}, or share or count with a seed")
        return dict(spec["set"])
    if ("share" in spec) == ("count" in spec):
        raise UserError("search: write share=0.1 or count=N of the training images to hold out, or set={path: value}")
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


def _report(spec: dict[str, Any]) -> dict[str, Any]:
    return dict(checked(spec, dict(set=DICT), "report").get("set", {}))
