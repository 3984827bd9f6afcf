"""Identifying evaluations by what they were made of, so that none overwrites another."""

from __future__ import annotations

import hashlib
import json
from itertools import count
from pathlib import Path
from typing import Any

from dupl.config.fingerprint import canonical
from dupl.runs import layout


def identity(made_of: dict[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify what something was made of."""
    return hashlib.sha256(canonical(made_of).encode()).hexdigest()[:16]


def own_folder(folder: Path, of: str) -> Path:
    """Return the folder, or the first one with -2, -3, ... appended that holds no results of something else."""
    for k in count(1):
        candidate = folder if k == 1 else folder.with_name(f"{folder.name}-{k}")
        notes = [layout.METRICS, *(f"{cache}.json" for cache in (layout.LABELS, layout.CRF)), layout.LOGITS_NOTE]
        if all(_stored_identity(candidate / name, of) == of for name in notes):
            return candidate
    raise AssertionError


def _stored_identity(file: Path, otherwise: str) -> object:
    """Return the identity in a file of an evaluation; ``otherwise`` where there is none."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return otherwise
    return stored.get("of", otherwise) if isinstance(stored, dict) else otherwise
