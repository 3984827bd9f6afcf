"""The segmentation head of SegFormer on the features of four stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch.nn.functional as F
from torch import Tensor, nn

from dupl.config.kinds import GIVEN, Count, Share
from dupl.method.drop import SeededDrop
from dupl.method.norm import StepBatchNorm


class PyramidHead(nn.Module):
    """A linear layer per stage, joined at the finest resolution by a 1x1 convolution, and a classifier of pixels.

    The joining convolution is applied to each stage before it is enlarged: both are linear, so that the result is the
    same, and the largest convolution of the head becomes four small ones.

    Released code: the norm takes its statistics over the images of all processes; here over those of one loss.

    Args:
        dims: Channels of the stages.
        classes: Classes with background, K + 1.
        channels: Channels of the head.
        dropout: Share of the channels that are dropped before the classifier.
    """

    def __init__(
        self,
        dims: Annotated[Sequence[int], GIVEN],
        classes: Annotated[int, GIVEN],
        channels: Count = 256,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        for i, dim in enumerate(dims):
            self.add_module(f"linear_c{i + 1}", nn.Linear(dim, channels))
        conv, self.norm = nn.Conv2d(channels * len(dims), channels, 1, bias=False), StepBatchNorm(channels)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        self.linear_fuse = conv
        self.dropout = SeededDrop(dropout, "channels")
        self.linear_pred = nn.Conv2d(channels, classes, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Compute logits (B, K + 1, h, w) of the features of the stages, the finest first."""
        size, stages = pyramid[0].shape[-2:], len(pyramid)
        fuse = self.linear_fuse.weight.flatten(1).chunk(stages, 1)  # of the last stage first
        joined: Tensor | None = None
        for i in reversed(range(stages)):
            linear: Any = self.get_submodule(f"linear_c{i + 1}")
            weight, bias = fuse[stages - 1 - i] @ linear.weight, fuse[stages - 1 - i] @ linear.bias
            own = F.conv2d(pyramid[i], weight[:, :, None, None], bias)
            own = own if own.shape[-2:] == size else F.interpolate(own, size=size, mode="bilinear")
            joined = own if joined is None else joined + own
        x = self.dropout(self.norm(joined).relu())
        logits: Tensor = self.linear_pred(x)
        return logits

    def after_step(self) -> None:
        """Let the running statistics of the norm follow the step."""
        self.norm.after_step()
