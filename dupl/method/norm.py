"""Batch normalisation whose running statistics do not depend on how a step is spread over processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class StepBatchNorm(nn.Module):
    """Batch normalisation over the images of one loss, with running statistics that follow once a step.

    The statistics of a step are the means over its losses, on all processes. Keys of the state as in
    ``torch.nn.BatchNorm2d``, without its counter.

    Args:
        channels: Of the maps.
        momentum: Share of a step in the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Normalise maps (B, C, h, w), in float32."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if not self.training:
                return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)
            if torch.is_grad_enabled():
                with torch.no_grad():
                    variance, mean = torch.var_mean(x, (0, 2, 3))
                    self.seen.append(torch.stack([mean, variance]))
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True)

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the running statistics follow the mean of those of the step."""
        if not self.seen:
            return
        total, count = torch.stack(self.seen).sum(0), len(self.seen)
        self.seen = []
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(total)
            count *= dist.get_world_size()
        mean, variance = total / count
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
