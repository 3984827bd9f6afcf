"""Thresholds on CAMs that follow the distribution of recent CAMs (CoSA's adaptive thresholds)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dupl.config.kinds import Count, In, Share, Start
from dupl.method.component import Component
from dupl.registry import COMPONENTS
from dupl.structures import Clock

COMPONENTS_OF_MIXTURE = 3  # background, undecided, foreground


def gathered(rows: Tensor) -> Tensor:
    """Return the rows (N, ...) of all processes, in the order of their images; each process has as many rows."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    rows = rows.contiguous()
    parts = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, rows)
    return torch.cat(parts)


@dataclass(frozen=True)
class Thresholds:
    """Both thresholds on one kind of CAMs.

    Attributes:
        low: Below it a pixel is background, in [0, 1].
        high: Above it a pixel is foreground, (B,) in [0, 1].
    """

    low: float
    high: Tensor


@COMPONENTS.register_module()
class QueueMixture(Component, nn.Module):
    """Thresholds from a mixture of three Gaussians, fitted to the CAM values of recent images.

    The largest value of the lowest component is the low threshold, the smallest value of the highest component the high
    one; both are moving averages that start from the fixed thresholds. The queues travel in checkpoints.

    A step uses the thresholds that the step before left, so that its losses may be computed by any number of processes.
    Released code: each process has queues of its own and adds a batch before its thresholds are used.

    Paper of CoSA: this form. Its published runs used fixed thresholds (``NoQueue``).

    Args:
        start: First iteration at which it acts.
        images: Length of the queue, in images. Released code: 100 batches.
        side: The CAMs are reduced to side x side values of their strongest class. Released code: 28, crop / 16.
        least: Values at or below it are left out.
        momentum: Share that the averages keep.
        fill: What the queue holds before it is full: "nothing", or values "uniform" between 0 and 1 (released code).

    Raises:
        ValueError: A value lies outside its range.
    """

    values: Tensor
    filled: Tensor
    averages: Tensor

    def __init__(
        self,
        start: Start = 0,
        images: Count = 200,
        side: Annotated[int, In("[1, inf)", "values")] = 28,
        least: Share = 0.05,
        momentum: Share = 0.99,
        fill: Literal["nothing", "uniform"] = "nothing",
    ) -> None:
        nn.Module.__init__(self)
        Component.__init__(self, start)
        if not 0 <= least <= 1 or not 0 <= momentum <= 1 or fill not in ("nothing", "uniform"):
            raise ValueError(
                f"cam_queue has least={least}, momentum={momentum}, fill={fill!r}: shares lie in [0, 1], and fill is "
                '"nothing" or "uniform"'
            )
        self.side, self.least, self.momentum = side, least, momentum
        shape = (2, images, side * side)  # main and auxiliary CAMs
        self.register_buffer("values", torch.rand(shape) if fill == "uniform" else torch.zeros(shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))  # images that were written, of all time
        self.register_buffer("averages", torch.zeros((2, 2), dtype=torch.float64))  # low, high
        self.made: list[Tensor] = []  # values of the losses of this step, (2, B, side side) each
        self.fixed: list[Tensor] = []  # the thresholds that the recipe states for their images, (B, 2, 2) each

    def forward(self, maps: Sequence[Tensor] | None, fixed: Sequence[Thresholds], clock: Clock) -> list[Thresholds]:
        """Keep the CAMs of a batch for ``after_step``, and return the thresholds of main and auxiliary CAMs.

        Args:
            maps: Main and auxiliary CAMs, (B, M, H, W); None before training makes them.
            fixed: The thresholds that the recipe states, which the averages start from.
            clock: t and T.
        """
        if maps is None or not self.active(clock):
            return list(fixed)
        with torch.no_grad():
            self.made.append(self._reduce(maps))
        highs = torch.stack([s.high.double() for s in fixed], 1)  # (B, 2)
        lows = highs.new_tensor([s.low for s in fixed]).expand_as(highs)
        self.fixed.append(torch.stack([lows, highs], 2))
        return self.current(fixed)

    def current(self, fixed: Sequence[Thresholds]) -> list[Thresholds]:
        """Return the thresholds of main and auxiliary CAMs after the last step; the fixed ones at first."""
        if not self.filled:
            return list(fixed)
        pairs = zip(self.averages.tolist(), fixed, strict=True)
        return [Thresholds(low, torch.full_like(stated.high, high)) for (low, high), stated in pairs]

    def _reduce(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the values of the strongest class of each image, (2, B, side * side)."""
        small = [F.interpolate(m, size=(self.side, self.side), mode="bilinear", align_corners=False) for m in maps]
        return torch.stack([s.amax(1).flatten(1) for s in small])

    @torch.no_grad()
    def after_step(self) -> None:
        """Add the CAMs of this step, of all processes, to the queues, and let the averages follow their limits."""
        if not self.made:
            return
        rows = gathered(torch.cat(self.made, 1).transpose(0, 1)).transpose(0, 1)  # (2, B, side side)
        if not self.filled:
            self.averages.copy_(gathered(torch.cat(self.fixed)).mean(0))
        self.made, self.fixed = [], []
        at = (self.filled + torch.arange(rows.shape[1], device=rows.device)) % self.values.shape[1]
        self.values[:, at] = rows
        self.filled += rows.shape[1]
        for average, values in zip(self.averages, self.values, strict=True):
            limits = self._limits(values.cpu().numpy())
            if limits is not None:
                average.lerp_(average.new_tensor(limits), 1 - self.momentum)

    def _limits(self, values: NDArray[np.float32]) -> tuple[float, float] | None:
        """Return the limits of the lowest and the highest component; None where the values are too few or too alike."""
        from sklearn.mixture import GaussianMixture

        chosen = values[values > self.least].astype(np.float64)
        if len(np.unique(chosen)) <= COMPONENTS_OF_MIXTURE:
            return None
        mixture = GaussianMixture(
            COMPONENTS_OF_MIXTURE,
            weights_init=[1 / 3, 1 / 3, 1 / 3],
            means_init=[[chosen.min()], [np.median(chosen)], [chosen.max()]],
            precisions_init=[[[1.0]]] * 3,
            random_state=0,
        )
        of = mixture.fit_predict(chosen[:, None])
        low, high = chosen[of == 0], chosen[of == COMPONENTS_OF_MIXTURE - 1]
        return (float(low.max()), float(high.min())) if len(low) and len(high) else None


@COMPONENTS.register_module()
class NoQueue(Component):
    """Adaptive thresholds switched off: those that the recipe states."""

    null = True

    def __call__(self, maps: Sequence[Tensor] | None, fixed: Sequence[Thresholds], clock: Clock) -> list[Thresholds]:
        """Return the fixed thresholds."""
        return list(fixed)

    def current(self, fixed: Sequence[Thresholds]) -> list[Thresholds]:
        """Return the fixed thresholds."""
        return list(fixed)
