"""How long training takes, from runs that are most like it.

The rule. Runs count that are finished or at least half done, and that agree with the config in network, CAM scales,
kind of training data, crop, batch (with its split into micro-batches), precision and device. Of these, runs on this
host count before those on others. Of these, the nearest count: those with the fewest components of another type, then
with the fewest other differences (a threshold, when a component starts, the number of iterations). Seed, optimiser
settings, weights of the loss and what a fingerprint ignores make no difference. The pace is the median of the nearest.

So a row of an ablation that was never run is given the pace of the row most like it. It is exact where a run differs
only in what makes no difference.
"""

from __future__ import annotations

import ast
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any

from dupl.config.catalogue import plain
from dupl.config.fingerprint import IGNORED, canonical
from dupl.config.literals import value_of

if TYPE_CHECKING:
    from mmengine.config import Config

    from dupl.runs.run import Status
    from dupl.runs.stored import StoredRun

MUST = (
    "model.type",
    "model.network",
    "model.cam_scales",
    "data.train.type",
    "data.augment.crop",
    "schedule.batch_size",
    "schedule.per_gpu",
    "schedule.accumulate",
    "runtime.amp",
    "runtime.device",
)
FREE = {
    *IGNORED,
    *MUST,
    *(f"schedule.{name}" for name in ("lr", "head_lr", "weight_decay", "betas", "warmup", "warmup_ratio", "power")),
    "model.tau_l",
    "model.weights",
    "runtime.seed",
    "evaluation.best",
    "evaluation.subset",
}
ENOUGH = 20  # runs whose evaluations are read for the seconds of one
WEIGHTS = ("pretrained", "weights")  # where a network starts from does not change its size


@dataclass(frozen=True)
class Work:
    """What an iteration consists of, as far as it takes time.

    Attributes:
        must: What must agree.
        kinds: Types of the components, by place ("model.students").
        rest: Everything else at a place.
    """

    must: str
    kinds: Mapping[str, str]
    rest: Mapping[str, str]

    def distance(self, other: Work) -> tuple[int, int]:
        """How many places hold components of another type, and how many differ otherwise."""
        return _different(self.kinds, other.kinds), _different(self.rest, other.rest)


@dataclass(frozen=True)
class Pace:
    """How long training takes.

    Attributes:
        iteration: Seconds of one iteration, a mean over a whole run with its phases.
        evaluation: Seconds of one evaluation on the way; 0 where the runs made none.
        runs: How many runs this is the median of.
        exact: Whether they differ from what was asked about in nothing that takes time.
    """

    iteration: float
    evaluation: float
    runs: int
    exact: bool

    def seconds(self, iterations: int, interval: int | None = None, done: int = 0) -> float:
        """From an iteration to the end, evaluations included.

        Args:
            iterations: Of the whole run.
            interval: Of evaluations, in iterations; None leaves them out.
            done: Iterations behind.
        """
        evaluations = 0 if interval is None else -(-iterations // interval) - done // interval
        return max(0, iterations - done) * self.iteration + max(0, evaluations) * self.evaluation


def measure(config: Config | Mapping[str, Any], runs: Iterable[StoredRun]) -> Pace | None:
    """The pace of a config by the rule above; None where no run is like it.

    Args:
        config: Resolved.
        runs: To measure by.
    """
    asked = work_of(config)
    like: list[tuple[bool, tuple[int, int], StoredRun]] = []
    for run in runs:
        if _far(run.status) and run.seconds_per_iteration and (work := run.work) and work.must == asked.must:
            like.append((run.status.host != socket.gethostname(), work.distance(asked), run))
    if not like:
        return None
    nearest = min(entry[:2] for entry in like)
    chosen = [run for *rank, run in like if tuple(rank) == nearest]
    read = chosen[:ENOUGH]
    spent = [e.seconds for run in read for e in run.evaluations if not e.checkpoint and e.seconds is not None]
    return Pace(
        iteration=median(run.seconds_per_iteration or 0.0 for run in chosen),
        evaluation=median(spent) if spent else 0.0,
        runs=len(chosen),
        exact=nearest[1] == (0, 0),
    )


def work_of(config: Config | Mapping[str, Any]) -> Work:
    """What an iteration of a resolved config consists of."""
    return _join(_part(section, content) for section, content in plain(config).items())


def work_of_file(path: str | os.PathLike[str]) -> Work | None:
    """The same of a run's config.py, which is read and not executed; None where it cannot be."""
    try:
        with open(path, encoding="utf-8") as file:
            sections = re.split(r"^(?=\w+ = )", file.read(), flags=re.MULTILINE)
        return _join(_part_of_text(text) for text in sections if text.strip())
    except Exception:  # anything may stand in a file that was damaged by hand
        return None


Part = tuple[dict[str, str], dict[str, str], dict[str, str]]


@lru_cache(maxsize=4096)  # the runs of a store share most of their sections
def _part_of_text(text: str) -> Part:
    (node,) = (node for node in ast.parse(text).body if isinstance(node, ast.Assign))
    return _part(_name(node.targets[0]), plain(value_of(node.value)))


def _part(section: str, content: Any) -> Part:
    """What must agree, kinds and the rest, of one section of a config."""
    paths = [path for path in MUST if path.startswith(f"{section}.")]
    must = {path: canonical(_shape(_at(content, path.split(".")[1:]))) for path in paths}
    kinds, rest = {}, {}
    for key, value in (content if isinstance(content, dict) else {"": content}).items():
        place = f"{section}.{key}".rstrip(".")
        if section in FREE or place in FREE:
            continue
        rest[place] = canonical(value)
        if isinstance(value, dict) and "type" in value:
            kinds[place] = str(value["type"])
    return must, kinds, rest


def _join(parts: Iterable[Part]) -> Work:
    must: dict[str, str] = {}
    kinds: dict[str, str] = {}
    rest: dict[str, str] = {}
    for part in parts:
        for whole, some in zip((must, kinds, rest), part, strict=True):
            whole.update(some)
    return Work(" ".join(f"{path}={value}" for path, value in sorted(must.items())), kinds, rest)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _at(node: Any, keys: list[str]) -> Any:
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _shape(node: Any) -> Any:
    return {k: _shape(v) for k, v in node.items() if k not in WEIGHTS} if isinstance(node, dict) else node


def _different(one: Mapping[str, str], other: Mapping[str, str]) -> int:
    return sum(one.get(place) != other.get(place) for place in one.keys() | other.keys())


def _far(status: Status) -> bool:
    return status.state == "finished" or (status.iterations is not None and 2 * status.iteration >= status.iterations)
