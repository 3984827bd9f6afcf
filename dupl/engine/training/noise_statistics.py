"""What the noise filter does while training: share of noise and the mixtures' means, once per logging interval."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from dupl.method.base import Method
from dupl.method.mixture import Mixture
from dupl.method.noise_filter import MixtureFilter
from dupl.runs.run import Run


class NoiseHook(Hook):
    """Writes a row of ``noise/...`` at the last iteration of each logging interval in which the filter acts.

    ``noise/share`` is the share of labelled pixels that are filtered. Of student s, over the images with a fit:
    ``noise/s/mean_clean`` and ``noise/s/mean_noisy`` of the two Gaussians, and ``noise/s/apart``, the share of these
    images whose means are more than eta apart, so that the filter acts on them.

    Only that iteration is looked at, and nothing waits for the device in any other.

    Args:
        run: The run's folder.
        interval: In iterations.
        model: At work.
    """

    priority = "NORMAL"

    def __init__(self, run: Run, interval: int, model: Method) -> None:
        self.run, self.interval, self.students = run, interval, len(model.students)
        self.filter = model.noise_filter
        self.seen: list[Mixture] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Begin to look where the iteration ends an interval."""
        done = runner.iter + 1
        if done % self.interval == 0 or done == runner.max_iters:
            self.filter.watch = self._see

    def _see(self, losses: Tensor, chosen: Tensor, mixture: Mixture) -> None:
        self.seen.append(mixture)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop looking; write what was seen, in the mean over all processes."""
        self.filter.watch = None
        seen, self.seen = self.seen, []
        if not seen:
            return
        sums = torch.stack([self._sums(seen[s :: self.students]) for s in range(self.students)])
        shares = torch.stack([outputs[name].detach().double() for name in ("pixels/filtered", "pixels/supervised")])
        shares = shares.to(sums.device)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
            torch.distributed.all_reduce(shares)
        if runner.rank != 0:
            return
        filtered, kept = shares.tolist()
        row = {"noise/share": filtered / (filtered + kept) if filtered + kept > 0 else 0.0}
        for student, (images, clean, noisy, apart) in enumerate(sums.tolist(), 1):
            if images:
                row |= {
                    f"noise/{student}/mean_clean": clean / images,
                    f"noise/{student}/mean_noisy": noisy / images,
                    f"noise/{student}/apart": apart / images,
                }
        self.run.append_scalars({"iter": runner.iter + 1, **row})
        runner.visualizer.add_scalars(row, step=runner.iter + 1)

    def _sums(self, mixtures: list[Mixture]) -> Tensor:
        """Images with a fit, and over them the sums of both means and of whether they are apart, float64 (4,)."""
        mean = torch.cat([m.mean for m in mixtures])  # (images, 2)
        fitted = torch.cat([m.fitted for m in mixtures])
        apart = mean[:, 1] - mean[:, 0] > self.filter.eta
        columns = [torch.ones_like(mean[:, 0]), mean[:, 0], mean[:, 1], apart.double()]
        return torch.where(fitted[:, None], torch.stack(columns, 1), 0).sum(0)


def noise_hook(run: Run, interval: int, model: Method) -> NoiseHook | None:
    """The hook, where the model has a filter that fits mixtures."""
    return NoiseHook(run, interval, model) if isinstance(model.noise_filter, MixtureFilter) else None
