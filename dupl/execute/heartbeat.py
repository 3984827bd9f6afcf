"""Heartbeats of a command: work that gets on tells the worker that started it, which otherwise takes it for hung."""

from __future__ import annotations

import os
import time
from contextlib import suppress

VARIABLE = "DUPL_HEARTBEAT"  # environment variable that names a file; a newer time of writing is a heartbeat
EVERY = 1.0  # seconds between two heartbeats at least

_last = float("-inf")


def beat() -> None:
    """Give a heartbeat, where a worker wants one; for whatever repeats within minutes: an iteration, an image."""
    global _last
    if (file := os.environ.get(VARIABLE)) is None or time.monotonic() - _last < EVERY:
        return
    _last = time.monotonic()
    with suppress(OSError):
        os.utime(file)
