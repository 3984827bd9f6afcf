"""Dropout of branches and channels that is drawn from the seeds of the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn


class SeededDrop(nn.Module):
    """Zero a part of each image at random and scale what is left.

    The draws of an image depend on its seed alone, so that they are the same in any batch, on any number of processes
    and after a resumption. Nothing is dropped outside ``drawing``, and, unless ``in_cams``, where no gradients are
    computed.

    Args:
        rate: Share that is dropped, in [0, 1).
        over: What is dropped: the whole "sample" (stochastic depth of a residual branch) or single "channels" of
            (B, C, h, w).
        in_cams: Whether to drop in passes without gradients too.
    """

    def __init__(self, rate: float, over: Literal["sample", "channels"] = "sample", in_cams: bool = False) -> None:
        super().__init__()
        self.rate, self.over, self.in_cams = rate, over, in_cams
        self.generators: list[torch.Generator] = []

    @property
    def acts(self) -> bool:
        """Whether something is dropped now."""
        drawn = bool(self.generators) and (torch.is_grad_enabled() or self.in_cams)
        return self.training and self.rate > 0 and drawn

    def forward(self, x: Tensor) -> Tensor:
        """Drop from x, (n B, ...): n views of each of the B images, one after the other."""
        if not self.acts:
            return x
        views, shape = len(x) // len(self.generators), (x.shape[1] if self.over == "channels" else 1,)
        kept = torch.stack(
            [torch.rand(shape, generator=draw) >= self.rate for _ in range(views) for draw in self.generators]
        )
        scale = kept.to(x) / (1 - self.rate)
        return x * scale.view(*scale.shape, *[1] * (x.dim() - 2))


@contextmanager
def drawing(network: nn.Module, seeds: Sequence[int]) -> Iterator[None]:
    """Let every ``SeededDrop`` of a network draw from the seeds of the images of a batch.

    Args:
        network: Any module.
        seeds: One for each image; without any nothing is dropped, also inside another ``drawing``.
    """
    drops = [module for module in network.modules() if isinstance(module, SeededDrop)]
    before = [drop.generators for drop in drops]
    for number, drop in enumerate(drops):
        keys = [hash((int(seed), 5, number)) & (2**63 - 1) for seed in seeds]
        drop.generators = [torch.Generator().manual_seed(key) for key in keys]
    try:
        yield
    finally:
        for drop, generators in zip(drops, before, strict=True):
            drop.generators = generators
