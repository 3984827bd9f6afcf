"""Count signals instead of dying of them."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Signals:
    """Count SIGINT and SIGTERM instead of dying of them; in the main thread only."""

    def __init__(self) -> None:
        self.count = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        def note(number: int, _: FrameType | None) -> None:
            self.count += 1

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
