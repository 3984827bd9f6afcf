"""The hook that writes scalars during training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from dupl.runs import layout
from dupl.runs.run import Run


class ScalarHook(Hook):
    """Write the mean of every scalar over each logging interval to the run's scalars and the visualizer's backends.

    Sums stay on the device and are copied to the host once per interval. Checkpoints hold them, so that a resumed run
    writes the same rows.

    Args:
        run: The run's folder.
        interval: Length of an interval in iterations.
        say: Receives one line about rows that a resumed run had lost.
    """

    priority = "NORMAL"

    def __init__(self, run: Run, interval: int, say: Callable[[str], object] = lambda _: None) -> None:
        self.run, self.interval, self.say = run, interval, say
        self.stored = ""  # the rows in the checkpoint
        self.sums: dict[str, Tensor] = {}
        self.count: dict[str, int] = {}
        self.last: dict[str, float] = {}
        self.spent = 0.0

    def before_train(self, runner: Any) -> None:
        """Remove the rows after the checkpoint that training resumes from; all rows if it starts from the beginning."""
        if runner.rank != 0 or not (self.stored or (self.run.path / layout.SCALARS).exists()):
            return
        if lost := self.run.truncate_scalars(runner.iter, self.stored):
            self.say(f"{layout.SCALARS} was corrupt: {lost} rows are restored from the checkpoint")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Add the scalars of an iteration to the sums, and write a row at the end of an interval."""
        for name, value in outputs.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.count[name] = self.count.get(name, 0) + 1
        done = runner.iter + 1
        if done % self.interval == 0 or done == runner.max_iters:
            self.write(runner, done)

    def write(self, runner: Any, done: int) -> None:
        """Write one row: means since the last row, learning rate, seconds per iteration, memory of the GPU."""
        names = list(self.sums)
        means = torch.stack([self.sums[n].to(_device(self.sums)) / self.count[n] for n in names])
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(means)
            means /= torch.distributed.get_world_size()
        steps = max(self.count.values())
        spent = runner.train_loop.seconds()
        self.last = dict(zip(names, means.tolist(), strict=True))
        self.last |= {
            "lr": runner.optim_wrapper.param_groups[0]["lr"],
            "seconds": (spent - self.spent) / steps,
        }
        if torch.cuda.is_available():
            self.last["memory_GiB"] = torch.cuda.max_memory_allocated() / 2**30
        self.sums, self.count, self.spent = {}, {}, spent
        if runner.rank == 0:
            self.run.append_scalars({"iter": done, **self.last})
            runner.visualizer.add_scalars(self.last, step=done)

    def after_train(self, runner: Any) -> None:
        """Close the backends, which may write their last rows only then; an error there does not fail training."""
        try:
            runner.visualizer.close()
        except Exception as error:
            runner.logger.error(f"a backend of the visualizer did not close: {type(error).__name__}: {error}")

    def before_checkpoint(self, runner: Any) -> None:
        """Give every process the mean of the sums of all, as a checkpoint holds those of the first alone."""
        names = list(self.sums)
        if names:
            sums = torch.stack([self.sums[name].to(_device(self.sums)) for name in names])
            torch.distributed.all_reduce(sums)
            self.sums = dict(zip(names, sums / torch.distributed.get_world_size(), strict=True))

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Store the sums of the unfinished interval in the checkpoint."""
        checkpoint["scalars"] = {
            "sums": {n: v.item() for n, v in self.sums.items()},
            "count": dict(self.count),
        }

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Continue the unfinished interval, and remember the rows before it."""
        self.stored = str(checkpoint.get("meta", {}).get("scalars", ""))
        scalars = checkpoint.get("scalars", {"sums": {}, "count": {}})
        self.sums = {n: torch.tensor(v, dtype=torch.float64) for n, v in scalars["sums"].items()}
        self.count = dict(scalars["count"])


def _device(sums: dict[str, Tensor]) -> torch.device:
    """Return the GPU that holds a sum, or the CPU."""
    return next((v.device for v in sums.values() if v.is_cuda), torch.device("cpu"))
