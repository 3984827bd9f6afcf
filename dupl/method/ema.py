"""Exponential moving averages of networks: teachers that follow the weights of a student."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


def frozen(network: N) -> N:
    """Return the network itself, without gradients: the optimiser and the backward pass leave it alone."""
    network.requires_grad_(False)
    return network


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, momentum: float) -> None:
    """Set every parameter of the average to momentum average + (1 - momentum) network, and copy the buffers.

    Call it after each step of the optimiser, once, however many parts the step had.

    Args:
        average: A network of the same architecture.
        network: The network that it follows.
        momentum: Share that the average keeps, in [0, 1].
    """
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1 - momentum)
    for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(buffer)
