"""The training loop: batches are chosen by position, so that a resumed run continues with the next sample."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader, Sampler

from dupl.engine.error_explanations import workers_of
from dupl.engine.training.finite_guard import FiniteGuard
from dupl.engine.training.step import train_step
from dupl.errors import RunError
from dupl.execute.heartbeat import beat
from dupl.structures import Clock

ADVICE = (
    "training stopped, checkpoints are kept. Try a lower schedule.lr, a longer schedule.warmup or "
    "runtime.precision=off, and --resume"
)


class PositionSampler(Sampler[tuple[int, int]]):
    """Yield (epoch, index) pairs of an endless shuffled stream, for this process's equal part of each batch.

    The stream is one permutation per epoch, one after the other. Batch ``it`` holds the positions ``it * batch`` to
    ``(it + 1) * batch``. The content of a batch depends neither on the number of workers nor on that of processes.

    Args:
        size: Number of images of the data set.
        batch: Images of one optimiser step, over all processes.
        seed: Seed of the permutations.
        rank: Number of this process.
        world: Number of processes.
    """

    def __init__(self, size: int, batch: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.size, self.batch, self.seed, self.rank, self.world = size, batch, seed, rank, world
        self.start = 0

    def start_at(self, iteration: int) -> None:
        """Make the next iterator start with the batch of an iteration."""
        self.start = iteration

    def __iter__(self) -> Iterator[tuple[int, int]]:
        part = self.batch // self.world
        epoch, order = -1, np.empty(0, np.int64)
        iteration = self.start
        while True:
            first = iteration * self.batch + self.rank * part
            for position in range(first, first + part):
                if position // self.size != epoch:
                    epoch = position // self.size
                    order = np.random.default_rng([self.seed, epoch]).permutation(self.size)
                yield epoch, int(order[position % self.size])
            iteration += 1


@LOOPS.register_module()
class TrainLoop(BaseLoop):
    """Run iterations with several losses per step, exact resumption and a clean stop.

    One iteration is one optimiser step. After it, hooks get ``after_train_iter``, then ``after_iteration``, when
    ``runner.iter`` already counts it, and then, when its checkpoint is written, ``after_checkpoint``. A resumed run
    calls ``after_resume`` first. Random generators are seeded in each iteration and carry no state between them.

    Args:
        runner: The runner.
        dataloader: A loader over the pairs of a ``PositionSampler``.
        max_iters: Number of iterations T.
        losses: Losses that this process computes in one step, each of an equal part of its images.
        seed: Seed of the random numbers that a step draws.
    """

    def __init__(self, runner: Any, dataloader: DataLoader, max_iters: int, losses: int, seed: int) -> None:
        super().__init__(runner, dataloader)
        self._max_iters, self._iter, self._epoch, self._max_epochs = max_iters, 0, 0, 1
        self.losses, self.seed = losses, seed
        self.stop_training = False
        self.asked_to_stop = False  # by a signal, to one of the processes
        self.unfinished = False  # an evaluation is left to do by a resumed run
        self.guard = FiniteGuard()
        self.spent, self.begun = 0.0, time.monotonic()

    iter = property(lambda self: self._iter)
    epoch = property(lambda self: self._epoch)
    max_iters = property(lambda self: self._max_iters)
    max_epochs = property(lambda self: self._max_epochs)

    def run(self) -> Any:
        """Train from the checkpoint's iteration to the last one, or until a hook stops training."""
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        counted = [self._iter * self.losses, self._max_iters * self.losses]
        runner.optim_wrapper.initialize_count_status(runner.model, *counted)
        if self._iter:
            runner.call_hook("after_resume")
        self.dataloader.sampler.start_at(self._iter)
        batches = iter(self.dataloader)
        with workers_of(batches):
            while self._iter < self._max_iters and not self.stop_training:
                runner.model.train()
                torch.manual_seed(hash((self.seed, self._iter)) & (2**63 - 1))
                self.begun = time.monotonic()
                self.run_iter(next(batches))
                self.spent = self.seconds()
                beat()
                runner.call_hook("after_iteration")
                runner.call_hook("after_checkpoint")
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def seconds(self) -> float:
        """Return the seconds spent in iterations so far, with data loading and without evaluation."""
        return self.spent + time.monotonic() - self.begun

    def run_iter(self, batch: dict[str, Any]) -> None:
        """Take one optimiser step on the gradients of all losses of a batch."""
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=batch)
        model, clock = self.runner.model, Clock(self._iter, self._max_iters)
        logs: list[dict[str, Any]] = []
        for part in split(batch, self.losses):
            try:
                logs.append(train_step(model, {**part, "clock": clock}, self.runner.optim_wrapper, self.guard))
            except FloatingPointError as error:
                late = next(model.parameters()).is_cuda and not logs  # a GPU reports it one step later
                raise RunError(f"iteration {self._iter - late}: {error}; {ADVICE}") from error
        getattr(model, "module", model).after_step()  # several processes wrap the model
        outputs = {
            name: sum(torch.as_tensor(log[name]).float() for log in logs) / len(logs)
            for name in logs[0]
            if all(name in log for log in logs)
        }
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=batch, outputs=outputs)
        self._iter += 1

    def require_finite(self) -> None:
        """Refuse to evaluate or save weights after an iteration with nan or inf.

        Raises:
            RunError: A loss term was not finite, which a GPU reports late, or the weights are not.
        """
        try:
            self.guard.settle()
        except FloatingPointError as error:
            raise RunError(f"iteration {self._iter - 1}: {error}; {ADVICE}") from error
        if not torch.stack([p.isfinite().all() for p in self.runner.model.parameters()]).all():
            raise RunError(f"iteration {self._iter - 1}: a gradient made weights nan or inf; {ADVICE}")


def split(batch: dict[str, Any], parts: int) -> list[dict[str, Any]]:
    """Split a collated batch into equal consecutive parts."""
    if parts == 1:
        return [batch]
    size = len(batch["name"]) // parts
    return [{k: v[i * size : (i + 1) * size] for k, v in batch.items()} for i in range(parts)]
