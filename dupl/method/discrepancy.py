"""[L_dis] Keeps the two students' features apart (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from dupl.config.kinds import Start
from dupl.method import equations
from dupl.method.base import Component
from dupl.registry import COMPONENTS
from dupl.structures import Clock, View


def _flat(features: Tensor, over: str) -> Tensor:
    """(B, D, h, w) -> (B, D h w) for the image's whole map, or (B, D, h w) for each channel's."""
    return features.flatten(1) if over == "image" else features.flatten(2)


Over = Literal["image", "channel"]


class _Discrepancy(Component):
    """Args: over: "image" or "channel", what the cosine is taken over; start: first iteration."""

    def __init__(self, over: Over, start: Start = 0) -> None:
        super().__init__(start)
        if over not in ("image", "channel"):
            raise ValueError(f'discrepancy.over is {over!r}: choose "image" or "channel"')
        self.over = over

    def __call__(self, views: Sequence[View], clock: Clock) -> Tensor:
        """L_dis of two views, a scalar; 0 before ``start``."""
        if not self.active(clock):
            return views[0].features.new_zeros((), dtype=torch.float32)
        f_1, f_2 = (_flat(view.features.float(), self.over) for view in views)
        return equations.symmetric(self.one_way, f_1, f_2)

    @staticmethod
    def one_way(f_1: Tensor, f_2: Tensor) -> Tensor:
        """One direction of Eq. 3."""
        raise NotImplementedError


@COMPONENTS.register_module()
class LogCosineDiscrepancy(_Discrepancy):
    """Eq. 2-3: -log(1 - cos), over the image's whole feature map.

    Args:
        over: "image" (paper) or "channel".
        start: First iteration at which it acts.
    """

    def __init__(self, over: Over = "image", start: Start = 0) -> None:
        super().__init__(over, start)

    one_way = staticmethod(equations.discrepancy)


@COMPONENTS.register_module()
class OnePlusCosine(_Discrepancy):
    """Released code: 1 + cos, per channel over the flattened spatial axis, mean over batch and channels.

    Args:
        over: "channel" (released) or "image".
        start: First iteration at which it acts.
    """

    def __init__(self, over: Over = "channel", start: Start = 0) -> None:
        super().__init__(over, start)

    one_way = staticmethod(equations.discrepancy_one_plus)


@COMPONENTS.register_module()
class NoDiscrepancy(Component):
    """L_dis switched off: always 0."""

    null = True

    def __call__(self, views: Sequence[View], clock: Clock) -> Tensor:
        """A scalar 0."""
        return views[0].features.new_zeros(())
