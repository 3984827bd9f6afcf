"""Count signals instead of dying of them."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from dupl.terminal import leave_terminal


class Signals:
    """Count SIGINT, SIGTERM and SIGHUP instead of dying of them; in the main thread only.

    SIGHUP, which a terminal sends when it is closed, is left alone where it is ignored, as under ``nohup``.
    """

    def __init__(self) -> None:
        self.count = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        def note(number: int, _: FrameType | None) -> None:
            self.count += 1
            if number == signal.SIGHUP:
                leave_terminal()

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self.before[number] = signal.signal(number, note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
