"""The hook that writes checkpoints during training."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from mmengine.hooks import Hook

from dupl.atomic import draft
from dupl.runs import layout
from dupl.runs.run import Run


class CheckpointHook(Hook):
    """Write a checkpoint every ``interval`` iterations, before each evaluation and at the end; keep the newest ones.

    An evaluation that fails or is killed costs no training: a resumed run repeats it. A checkpoint between two
    intervals, written for an evaluation or at a stop, is removed once there is a later one. Each checkpoint also holds
    the run's scalars and status, in case their files become corrupt.

    Args:
        run: The run's folder.
        interval: Iterations between two checkpoints.
        keep: Number of checkpoints to keep.
        classes: Names of the classes, background first, to store in each checkpoint.
        evaluations: Iterations between two evaluations; None where there are none.
        forks: Iterations whose checkpoints are kept, because other runs begin as them.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        run: Run,
        interval: int,
        keep: int = 2,
        classes: Sequence[str] = (),
        evaluations: int | None = None,
        forks: Collection[int] = (),
    ) -> None:
        self.run, self.interval, self.keep, self.classes = run, interval, keep, list(classes)
        self.evaluations, self.forks = evaluations, forks
        self.seconds_before = 0.0

    def before_train(self, runner: Any) -> None:
        """Read the seconds of earlier attempts, and remove the unfinished files of a killed one."""
        self.seconds_before = self.run.status.seconds
        if runner.rank == 0:
            for part in (self.run.path / layout.CHECKPOINTS).glob(".*.part"):
                part.unlink()
            self.prune(runner.iter)  # a kill may have prevented this after the last checkpoint

    def after_iteration(self, runner: Any) -> None:
        """Save a checkpoint if it is due."""
        done = runner.iter
        due = done % self.interval == 0 or (self.evaluations is not None and done % self.evaluations == 0)
        if due or done in self.forks or done == runner.max_iters or runner.train_loop.stop_training:
            runner.train_loop.require_finite()
            if runner.distributed:
                runner.call_hook("before_checkpoint")
            self.save(runner)

    def save(self, runner: Any) -> None:
        """Write a checkpoint under a temporary name, then rename it."""
        if runner.rank != 0:
            return
        file = self.run.path / layout.checkpoint(runner.iter)
        file.parent.mkdir(exist_ok=True)
        meta: dict[str, Any] = {"iter": runner.iter, "epoch": 0, "fingerprint": self.run.status.fingerprint}
        meta["classes"] = self.classes
        with draft(file) as part:
            runner.save_checkpoint(str(file.parent), part.name, meta=meta, by_epoch=False)
        self.run.update(iteration=runner.iter, seconds=self.seconds_before + runner.train_loop.spent)
        self.prune(runner.iter)

    def prune(self, iteration: int) -> None:
        """Remove the checkpoints that one of an iteration makes superfluous; later ones stay."""
        older = [file for file in layout.checkpoints(self.run.path) if file[0] < iteration]
        regular = [file for file in older if file[0] % self.interval == 0]
        for file in {*older} - {*regular[: self.keep - 1]}:
            if file[0] not in self.forks:
                file[1].unlink(missing_ok=True)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Reduce the checkpoint to what loads with ``weights_only=True``: tensors and plain Python values."""
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
        seconds = self.seconds_before + runner.train_loop.spent
        status = json.dumps({**asdict(self.run.status), "iteration": runner.iter, "seconds": seconds})
        kept = {"status": status, "scalars": self.run.scalars_text()}
        checkpoint["meta"] = plain(checkpoint["meta"] | kept)
        checkpoint["param_schedulers"] = plain(checkpoint["param_schedulers"])


def plain(value: Any) -> Any:
    """Convert numpy scalars in nested containers to Python ones."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
