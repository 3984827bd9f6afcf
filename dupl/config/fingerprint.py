"""Compute the id of a config: a digest of everything in it that can change the weights or metrics of its run.

The id of a run also has a digest of what its training reads, see `dupl.data.identity`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dupl.config.text import plain

if TYPE_CHECKING:
    from mmengine.config import Config

# Where and how fast a run computes, and what it reports on the way. tests/engine/test_ignored.py trains with each
# changed, and finds the same weights and metrics bit by bit. `runtime.device` names a machine, as the host does.
# `runtime.threads` changes the numbers on a CPU alone: it counts unless `runtime.device` is "cuda".
IGNORED = (
    "runtime.checkpoint_interval",
    "runtime.device",
    "runtime.keep_checkpoints",
    "runtime.log_interval",
    "runtime.progress",
    "runtime.track",
    "runtime.vis_backends",
    "runtime.workers",
    "evaluation.batch_size",
    "evaluation.crf",
    "evaluation.final",
    "evaluation.gallery",
    "evaluation.quality",
    "evaluation.workers",
    "work_dir",
)
# Values that say the same as leaving the key out.
EMPTY: dict[str, tuple[Any, ...]] = {"hooks": ([], ()), "runtime.compile": (None,), "schedule.norm_lr": (1, 1.0)}
PLACES = ("root", "images", "masks", "tags")  # arguments of data sets that say where files are
WEIGHTS = "weights"  # a file of weights, wherever it stands in the model


# The text of sections by name and identity, with the section, which keeps its identity its own.
Texts = dict[tuple[str, int], tuple[object, str]]


def config_id(config: Config | Mapping[str, Any], texts: Texts | None = None) -> str:
    """Digest a resolved config: 12 hexadecimal digits, equal where the runs differ at most in what they read.

    Arguments of data sets that say where files are (`PLACES`) do not count, nor does the path of a file of weights.

    Args:
        config: The config; plain values where ``texts`` is given.
        texts: Keeps the text of each section by name and identity, for configs that share sections and do not change.

    Raises:
        UserError: The config holds something that is no literal, or a number that is not finite.
    """
    values: Mapping[str, Any] = plain(config) if texts is None else config
    known: Texts = {} if texts is None else texts
    parts = {name: _section_text(name, value, known) for name, value in values.items() if _counts(name, value)}
    whole = ",".join(f"{json.dumps(name)}:{parts[name]}" for name in sorted(parts))
    return hashlib.sha256(f"{{{whole}}}".encode()).hexdigest()[:12]


def counted(config: Config | Mapping[str, Any]) -> dict[str, Any]:
    """Return what counts of a config for its id, as plain values.

    Raises:
        UserError: As `config_id`.
    """
    return {name: _section(name, value) for name, value in plain(config).items() if _counts(name, value)}


def _section_text(name: str, value: Any, texts: Texts) -> str:
    """Return the text of what counts of a section, from `texts` where it has it."""
    key = name, id(value)
    if key not in texts:
        texts[key] = value, _json(_section(name, value))
    return texts[key][1]


def _counts(path: str, value: Any) -> bool:
    """Tell whether a section, or a key of one, counts."""
    return path not in IGNORED and value not in EMPTY.get(path, ())


def _section(name: str, value: Any) -> Any:
    """Return what counts of a section."""
    if not isinstance(value, dict):
        return value
    if name == "data":
        return {split: without_places(entry) for split, entry in value.items()}
    if name == "model":
        return _without_files(value)
    on_gpu = name == "runtime" and value.get("device") == "cuda"
    kept = {key: item for key, item in value.items() if _counts(f"{name}.{key}", item)}
    return {key: item for key, item in kept.items() if not (on_gpu and key == "threads")}


def without_places(entry: Any) -> Any:
    """Copy the arguments of a data set without those that say where files are, also of sets that it is a part of."""
    if not isinstance(entry, dict) or "type" not in entry:
        return entry
    return {key: without_places(value) for key, value in entry.items() if key not in PLACES}


def places(entry: Any) -> dict[str, Any]:
    """Return the arguments of a data set, and of sets that it is a part of, that say where files are, by path."""
    found: dict[str, Any] = {}
    if isinstance(entry, Mapping) and "type" in entry:
        for key, value in entry.items():
            if key in PLACES:
                found[key] = value
            else:
                found |= {f"{key}.{path}": place for path, place in places(value).items()}
    return found


def files_of(config: Config | Mapping[str, Any]) -> str:
    """Return where a config says that data and weights are, as one text; the id counts their content instead."""
    values = config if type(config) is dict else plain(config)
    data = values.get("data", {})
    named = {split: places(entry) for split, entry in data.items()} if isinstance(data, dict) else {}
    return _json([named, *weight_files(values.get("model"))])


def weight_files(model: Any) -> Iterator[str]:
    """Yield the files of weights that a model names."""
    for key, value in model.items() if isinstance(model, Mapping) else ():
        if key == WEIGHTS and isinstance(value, str) and value:
            yield value
        elif isinstance(value, Mapping):
            yield from weight_files(value)


def canonical(value: Any) -> str:
    """Return the one JSON text of a config or a part of it.

    The order of keys, and list or tuple, make no difference. Neither does 1 or 1.0: they are equal in Python,
    and a recipe that says `lr=1` means the number. True and 1 do differ: one is a switch.

    Raises:
        UserError: As `config_id`.
    """
    return _json(plain(value))


def hash_of(parts: Iterable[object]) -> str:
    """Return 12 hexadecimal digits that depend on every part and on their order."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(repr(part).encode("utf-8", "backslashreplace"))
        whole.update(b"\n")
    return whole.hexdigest()[:12]


def digest_of(value: Any) -> str:
    """Return 8 hexadecimal digits of a value's canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:8]


def _without_files(node: Any) -> Any:
    """Copy a model's config; a file of weights becomes the word "file"."""
    if not isinstance(node, dict):
        return node
    named = (WEIGHTS in node) and isinstance(node[WEIGHTS], str) and bool(node[WEIGHTS])
    return {key: _without_files(value) for key, value in node.items()} | ({WEIGHTS: "file"} if named else {})


def _json(value: Any) -> str:
    """Return the one JSON text of plain values."""
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"))


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
