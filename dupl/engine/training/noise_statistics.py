"""The hook that logs the noise filter: share of noise, and the means of its mixtures."""

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
    """Write a row of ``noise/...`` at the last iteration of each logging interval in which the filter acts.

    ``noise/share`` is the share of labelled pixels that are filtered. For student s, over the images with a fit:
    ``noise/s/mean_clean`` and ``noise/s/mean_noisy`` of the two Gaussians, and ``noise/s/apart``, the share of these
    images whose means are more than eta apart, so that the filter acts on them.

    Only that iteration is recorded; no other one waits for the device.

    Args:
        run: The run's folder.
        interval: Length of an interval in iterations.
        model: The model in training.
    """

    priority = "NORMAL"

    def __init__(self, run: Run, interval: int, model: Method) -> None:
        self.run, self.interval, self.students = run, interval, len(model.students)
        self.filter = model.noise_filter
        self.seen: list[Mixture] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Record the mixtures if the iteration ends an interval."""
        done = runner.iter + 1
        if done % self.interval == 0 or done == runner.max_iters:
            self.filter.watch = self._record

    def _record(self, losses: Tensor, chosen: Tensor, mixture: Mixture) -> None:
        self.seen.append(mixture)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop recording, and write the means over all processes."""
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
        """Return the number of images with a fit, and the sums of both means and of those apart, float64 (4,)."""
        mean = torch.cat([m.mean for m in mixtures])  # (images, 2)
        fitted = torch.cat([m.fitted for m in mixtures])
        apart = mean[:, 1] - mean[:, 0] > self.filter.eta
        columns = [torch.ones_like(mean[:, 0]), mean[:, 0], mean[:, 1], apart.double()]
        return torch.where(fitted[:, None], torch.stack(columns, 1), 0).sum(0)


def noise_hook(run: Run, interval: int, model: Method) -> NoiseHook | None:
    """Return the hook if the model has a filter that fits mixtures."""
    return NoiseHook(run, interval, model) if isinstance(model.noise_filter, MixtureFilter) else None
