"""The hook that stops training on a signal."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import torch
from mmengine.hooks import Hook


class StopHook(Hook):
    """On SIGINT or SIGTERM, finish the iteration, write a checkpoint, and stop; a second signal ends the process.

    Several processes stop together: every ``AGREE`` iterations they tell each other whether one received a signal.
    """

    priority = "VERY_HIGH"
    AGREE = 10

    def __init__(self) -> None:
        self.received: int | None = None
        self.before: dict[int, Any] = {}

    def before_train(self, runner: Any) -> None:
        """Install the signal handlers."""

        def request_stop(number: int, _: FrameType | None) -> None:
            self.received = number
            self.restore_handlers()

        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self.before[number] = signal.signal(number, request_stop)
            except ValueError:  # outside the main thread, where the caller handles signals
                return

    def after_iteration(self, runner: Any) -> None:
        """Stop the loop if a signal came, before the checkpoint hook acts."""
        stop = self.received is not None
        if runner.distributed:
            if runner.iter % self.AGREE:
                return
            votes = torch.tensor(float(stop), device=next(runner.model.parameters()).device)
            torch.distributed.all_reduce(votes)
            stop = votes.item() > 0
        if stop:
            runner.train_loop.stop_training = True

    def after_train(self, runner: Any) -> None:
        """Restore the earlier signal handlers."""
        self.restore_handlers()

    def restore_handlers(self) -> None:
        """Restore the signal handlers from before the training."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}
