"""What an iteration of a config consists of, as far as it takes time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dupl.config import reader
from dupl.config.fingerprint import IGNORED, canonical
from dupl.config.text import plain
from dupl.errors import UserError
from dupl.runs.config import translated

if TYPE_CHECKING:
    from mmengine.config import Config

MUST = (
    "model.type",
    "model.network",
    "model.cam_scales",
    "data.train.type",
    "data.augment.crop",
    "schedule.batch_size",
    "schedule.images_per_loss",
    "runtime.precision",
    "runtime.threads",
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
WEIGHTS = ("pretrained", "weights")  # where a network starts from does not change its size


@dataclass(frozen=True)
class Workload:
    """What an iteration consists of, as far as it takes time.

    Attributes:
        must: Values that must agree for two workloads to be comparable.
        types: Types of the components, by path ("model.students").
        rest: Everything else, by path.
    """

    must: str
    types: Mapping[str, str]
    rest: Mapping[str, str]

    @property
    def key(self) -> tuple[str, frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
        """All of it, as a key of a dict."""
        return self.must, frozenset(self.types.items()), frozenset(self.rest.items())


def workload_of(config: Config | Mapping[str, Any]) -> Workload:
    """Return the workload of a resolved config."""
    return _join(_part(section, content) for section, content in plain(config).items())


def workload_of_file(path: str | os.PathLike[str]) -> Workload | None:
    """Return the workload of the config that a run stored; None where it is corrupt."""
    try:
        return workload_of(translated(reader.read(path).values, Path(path).parent))
    except UserError:
        return None


Part = tuple[dict[str, str], dict[str, str], dict[str, str]]


def _part(section: str, content: Any) -> Part:
    """Return what must agree, the types and the rest, of one section of a config."""
    paths = [path for path in MUST if path.startswith(f"{section}.")]
    must = {path: canonical(_shape(_at(content, path.split(".")[1:]))) for path in paths}
    types, rest = {}, {}
    for key, value in (content if isinstance(content, dict) else {"": content}).items():
        path = f"{section}.{key}".rstrip(".")
        if section in FREE or path in FREE:
            continue
        rest[path] = canonical(value)
        if isinstance(value, dict) and "type" in value:
            types[path] = str(value["type"])
    return must, types, rest


def _join(parts: Iterable[Part]) -> Workload:
    must: dict[str, str] = {}
    types: dict[str, str] = {}
    rest: dict[str, str] = {}
    for part in parts:
        for whole, some in zip((must, types, rest), part, strict=True):
            whole.update(some)
    return Workload(" ".join(f"{path}={value}" for path, value in sorted(must.items())), types, rest)


def _at(node: Any, keys: list[str]) -> Any:
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _shape(node: Any) -> Any:
    return {k: _shape(v) for k, v in node.items() if k not in WEIGHTS} if isinstance(node, dict) else node
