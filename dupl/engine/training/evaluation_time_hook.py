"""The base class of hooks that act at evaluations."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from mmengine.hooks import Hook


class EvaluationTimeHook(Hook):
    """Act every ``interval`` iterations and at the end, after the checkpoint of that iteration is written.

    A resumed run acts again where an earlier attempt ended before the work of this hook was complete, so that a failing
    evaluation costs no training.

    Args:
        interval: Iterations between two evaluations.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, interval: int) -> None:
        self.interval = interval

    @abstractmethod
    def act(self, runner: Any) -> None:
        """Do the work of this hook at the iteration that the runner has reached; called in every process."""

    @abstractmethod
    def is_done(self, iteration: int) -> bool:
        """Return whether the work of an iteration is complete; called in the first process."""

    def after_checkpoint(self, runner: Any) -> None:
        """Act if an evaluation is due."""
        if self._is_due(runner):
            self.act(runner)

    def after_resume(self, runner: Any) -> None:
        """Act if an evaluation was due at the iteration that training resumes from, and was not completed."""
        if not self._is_due(runner):
            return
        done = [runner.rank == 0 and self.is_done(runner.iter)]
        if runner.distributed:
            torch.distributed.broadcast_object_list(done)
        if not done[0]:
            self.act(runner)

    def _is_due(self, runner: Any) -> bool:
        return runner.iter % self.interval == 0 or runner.iter == runner.max_iters
