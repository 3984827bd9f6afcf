"""Signs of life: work that gets on says so, to whoever started it and would take it for hung else."""

from __future__ import annotations

import os
import time
from contextlib import suppress

VARIABLE = "DUPL_SIGNS"  # environment variable that names a file, of which a newer time of writing is a sign of life
EVERY = 1.0  # seconds between two signs at least

_given = float("-inf")


def sign() -> None:
    """Gives a sign, where somebody wants one; for whatever repeats within minutes: an iteration, an image."""
    global _given
    if (file := os.environ.get(VARIABLE)) is None or time.monotonic() - _given < EVERY:
        return
    _given = time.monotonic()
    with suppress(OSError):
        os.utime(file)
