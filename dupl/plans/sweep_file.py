"""A sweep file: what it may contain, its goals and its search split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dupl.config import catalogue
from dupl.config.kinds import Count, Fault, In
from dupl.plans.plan_file import Paths

if TYPE_CHECKING:
    from mmengine.config import Config

HOURS = "gpu_hours"  # the one goal that is not a metric: training seconds x GPUs of a run / 3600


@dataclass(frozen=True)
class GoalFile:
    """A goal of a sweep file.

    Attributes:
        metric: A metric of the last evaluation in training, or "gpu_hours".
        direction: By default "minimize" for gpu_hours and "maximize" for metrics.
    """

    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"


@dataclass(frozen=True)
class SearchFile:
    """How trials train and are evaluated: on images held out of training, or as `set` says.

    Attributes:
        share: Share of the training images that is held out.
        count: Number of training images that are held out, instead of a share.
        seed: Seed of the choice of held-out images.
        set: Changes of the recipe, instead of held-out images.
    """

    share: Annotated[float, In("(0, 1)")] | None = None
    count: Count | None = None
    seed: int = 0
    set: Paths = field(default_factory=dict)


@dataclass(frozen=True)
class ReportFile:
    """How the chosen points are evaluated in the end.

    Attributes:
        set: Changes of the recipe.
    """

    set: Paths = field(default_factory=dict)


@dataclass(frozen=True)
class SweepFile:
    """A sweep: what varies, by which goal, on which data.

    Attributes:
        base: Recipe that the trials change.
        goal: What is optimised; several goals make a Pareto front.
        space: The parameters by name, or by the path that one changes.
        sampler: `type` and arguments of the sampler.
        trials: Number of trials, unless the command says otherwise.
        title: Title, one line; by default the first line of the docstring.
        set: Changes of all trials, applied first.
        constraints: Relations that every trial keeps, such as "model.tau_l < model.threshold.final".
        start_from: Points to begin with; {} is the point of the recipe.
        pruner: `type` and arguments of the pruner; none by default.
        search: How trials train and are evaluated.
        report: How the chosen points are evaluated in the end.
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


def read_points(values: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the points to begin with.

    Raises:
        Fault: There is none.
    """
    if not values:
        raise Fault("start_from", "is empty: write a list of dicts, of which {} is the base itself")
    return values


def read_goal(value: Any) -> tuple[tuple[str, str], ...]:
    """Return the goals: metrics with their directions.

    Raises:
        Fault: There is no metric among the goals.
    """
    goals = []
    for goal in [value] if isinstance(value, dict) else value:
        direction = goal.get("direction", "minimize" if goal["metric"] == HOURS else "maximize")
        goals.append((goal["metric"], direction))
    if not goals or all(metric == HOURS for metric, _ in goals):
        raise Fault("goal", 'has no metric: write dict(metric="seg/best/mIoU", direction="maximize")')
    return tuple(goals)


def read_search(spec: dict[str, Any], base: Config) -> dict[str, Any]:
    """Return the changes of trials: images held out of training, or what the file says.

    Raises:
        Fault: It says neither, or both.
    """
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
