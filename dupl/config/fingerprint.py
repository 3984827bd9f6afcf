"""Compute the id of a run: a digest of everything in its config that can change its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dupl.config.text import plain

if TYPE_CHECKING:
    from mmengine.config import Config

# What cannot change the result: where and how fast a run computes, and what it reports on the way.
# The seed and the precision (`runtime.amp`) can, so they count; so does the root of a data set, which may
# hold other data.
IGNORED = (
    "runtime.checkpoint_interval",
    "runtime.compile",
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
    "hooks",
    "work_dir",
)


def fingerprint(config: Config | Mapping[str, Any]) -> str:
    """Digest a resolved config: 12 hexadecimal digits, equal where the runs are the same run.

    Raises:
        UserError: The config holds something that is no literal, or a number that is not finite.
    """
    values = plain(config)
    for path in IGNORED:
        section, _, key = path.rpartition(".")
        node = values.get(section) if section else values
        if isinstance(node, dict):
            node.pop(key, None)
    return hashlib.sha256(canonical(values).encode()).hexdigest()[:12]


def canonical(value: Any) -> str:
    """Return the one JSON text of a config or a part of it.

    The order of keys, and list or tuple, make no difference. Neither does 1 or 1.0: they are equal in Python,
    and a recipe that says `lr=1` means the number. True and 1 do differ: one is a switch.

    Raises:
        UserError: As `fingerprint`.
    """
    return json.dumps(_canonical(plain(value)), sort_keys=True, separators=(",", ":"))


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
