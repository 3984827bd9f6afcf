"""The hook that stops training on a signal."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import torch
from mmengine.hooks import Hook

from dupl.terminal import leave_terminal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Abandoned(Exception):
    """An evaluation was given up, as training was asked to stop; a resumed run makes it."""


class StopHook(Hook):
    """On SIGINT, SIGTERM or SIGHUP, finish the iteration, write a checkpoint, and stop; the second ends the process.

    Several processes stop together: after each iteration they tell each other whether one received a signal, by
    messages between CPUs, so that no GPU waits. SIGHUP is left alone where it is ignored, as under ``nohup``.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.received: int | None = None
        self.before: dict[int, Any] = {}
        self.group: Any = None

    def before_train(self, runner: Any) -> None:
        """Install the signal handlers, and open the channel between the processes."""
        if runner.distributed and torch.distributed.get_backend() != "gloo":
            self.group = torch.distributed.new_group(backend="gloo")

        def request_stop(number: int, _: FrameType | None) -> None:
            self.received = number
            self.restore_handlers()
            if number == signal.SIGHUP:
                leave_terminal()

        for number in SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            try:
                self.before[number] = signal.signal(number, request_stop)
            except ValueError:  # outside the main thread, where the caller handles signals
                return

    def after_iteration(self, runner: Any) -> None:
        """Stop the loop if a signal came, before the checkpoint hook acts."""
        stop = self.received is not None
        if runner.distributed:
            votes = torch.tensor(float(stop))
            torch.distributed.all_reduce(votes, group=self.group)
            stop = votes.item() > 0
        if stop:
            runner.train_loop.stop_training = runner.train_loop.asked_to_stop = True

    def look(self, done: int, total: int) -> None:
        """Give up an evaluation if a signal came; called after each image.

        Raises:
            Abandoned: A signal came.
        """
        if self.received is not None:
            raise Abandoned

    def after_train(self, runner: Any) -> None:
        """Restore the earlier signal handlers."""
        self.restore_handlers()

    def restore_handlers(self) -> None:
        """Restore the signal handlers from before the training."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}
