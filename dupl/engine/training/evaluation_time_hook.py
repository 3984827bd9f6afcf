"""The base class of hooks that act at evaluations."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from mmengine.hooks import Hook

from dupl.engine.training.processes import agree
from dupl.engine.training.stop_hook import Abandoned


class EvaluationTimeHook(Hook):
    """Act every ``interval`` iterations and at the end, after the checkpoint of that iteration is written.

    A resumed run acts again where an earlier attempt ended before the work of this hook was complete, so that a failing
    evaluation costs no training. A training that is asked to stop does not begin it.

    Args:
        interval: Iterations between two evaluations.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, interval: int) -> None:
        self.interval = interval

    @abstractmethod
    def act(self, runner: Any) -> None:
        """Do the work of this hook at the iteration that the runner has reached; called in every process.

        Raises:
            Abandoned: Training is asked to stop, which all processes raise together.
        """

    @abstractmethod
    def is_done(self, iteration: int) -> bool:
        """Return whether the work of an iteration is complete; called in the first process."""

    def after_checkpoint(self, runner: Any) -> None:
        """Act if an evaluation is due."""
        if self._is_due(runner):
            self._act(runner)

    def after_resume(self, runner: Any) -> None:
        """Act if an evaluation was due at the iteration that training resumes from, and was not completed."""
        if not self._is_due(runner):
            return
        if not agree(runner.rank == 0 and self.is_done(runner.iter)):
            self._act(runner)

    def _act(self, runner: Any) -> None:
        """Act, unless training stops; the loop then knows that something is left to do."""
        try:
            if runner.train_loop.asked_to_stop:
                raise Abandoned
            self.act(runner)
        except Abandoned:
            runner.train_loop.stop_training = runner.train_loop.unfinished = True

    def _is_due(self, runner: Any) -> bool:
        return runner.iter % self.interval == 0 or runner.iter == runner.max_iters
