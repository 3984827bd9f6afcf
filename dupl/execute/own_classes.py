"""Ask the modules of recipes when their classes begin to act, in a process that may import them."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from dupl.config import components
from dupl.errors import Notice
from dupl.process import environment

LIMIT = 300.0  # seconds that importing a recipe's modules may take


def learn_own_classes(configs: Iterable[Mapping[str, Any]]) -> None:
    """Let ``components.find`` know the classes that recipes import.

    The modules are those that the trainings will import, from the same places. Where they cannot be imported, nothing
    is known of their classes, which then count as acting from the first iteration on.

    Args:
        configs: Resolved recipes that are to be trained.
    """
    for names in {tuple((config.get("custom_imports") or {}).get("imports", ())) for config in configs}:
        if names:
            components.learn(_described(names))


@lru_cache(maxsize=64)
def _described(names: tuple[str, ...]) -> dict[str, Any]:
    """Return what the classes of some modules say of themselves; a line says it where they do not."""
    words = [sys.executable, "-m", "dupl.engine.own_classes", *names]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, env=environment(), check=True)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        why = f"{', '.join(names)}: {said[-1] if said else 'no answer'}"
        warnings.warn(Notice(f"rows that differ in own classes do not share their beginnings: {why}"), stacklevel=1)
        return {}
    return found
