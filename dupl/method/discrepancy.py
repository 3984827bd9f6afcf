"""[L_dis] Discrepancy loss: keeps the features of the two students apart (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from dupl.config.kinds import Start
from dupl.method import equations
from dupl.method.component import Component
from dupl.method.network import StudentOutput
from dupl.registry import COMPONENTS
from dupl.structures import Clock

Over = Literal["image", "channel"]


class _Discrepancy(Component):
    """Args: over: "image" or "channel", what the cosine is taken over; start: first iteration at which it acts."""

    def __init__(self, over: Over, start: Start = 0) -> None:
        super().__init__(start)
        if over not in ("image", "channel"):
            raise ValueError(f'discrepancy.over is {over!r}: choose "image" or "channel"')
        self.over = over

    def __call__(self, outputs: Sequence[StudentOutput], clock: Clock) -> Tensor:
        """Compute L_dis of two students, a scalar; 0 before ``start``."""
        if not self.active(clock):
            return outputs[0].features.new_zeros((), dtype=torch.float32)
        f_1, f_2 = (_flat(output.features.float(), self.over) for output in outputs)
        return equations.symmetric(self.one_way, f_1, f_2)

    @staticmethod
    def one_way(f_1: Tensor, f_2: Tensor) -> Tensor:
        """Compute one direction of Eq. 3 over the last axis."""
        raise NotImplementedError


def _flat(features: Tensor, over: Over) -> Tensor:
    """Flatten (B, D, h, w) to (B, D h w), the whole image, or to (B, D, h w), each channel."""
    return features.flatten(1) if over == "image" else features.flatten(2)


@COMPONENTS.register_module()
class LogCosineDiscrepancy(_Discrepancy):
    """Eq. 2-3: -log(1 - cos), over the whole feature map of an image.

    Args:
        over: "image" (paper) or "channel".
        start: First iteration at which it acts.

    Raises:
        ValueError: ``over`` is neither of the two.
    """

    def __init__(self, over: Over = "image", start: Start = 0) -> None:
        super().__init__(over, start)

    one_way = staticmethod(equations.discrepancy)


@COMPONENTS.register_module()
class OnePlusCosine(_Discrepancy):
    """Released code: 1 + cos, per channel over the flattened spatial axes, mean over batch and channels.

    Args:
        over: "channel" (released) or "image".
        start: First iteration at which it acts.

    Raises:
        ValueError: ``over`` is neither of the two.
    """

    def __init__(self, over: Over = "channel", start: Start = 0) -> None:
        super().__init__(over, start)

    one_way = staticmethod(equations.discrepancy_one_plus)


@COMPONENTS.register_module()
class NoDiscrepancy(Component):
    """L_dis switched off: always 0."""

    null = True

    def __call__(self, outputs: Sequence[StudentOutput], clock: Clock) -> Tensor:
        """Return a scalar 0."""
        return outputs[0].features.new_zeros(())
