"""A guard that stops training at the first loss term that is not finite."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor


class FiniteGuard:
    """Checks the terms of the loss in every step, without waiting for a GPU.

    On a GPU the values are copied to the CPU while the device works on, and are checked one step later.
    """

    def __init__(self) -> None:
        self.pending: tuple[list[str], Tensor, torch.cuda.Event] | None = None

    def __call__(self, terms: Mapping[str, Tensor]) -> None:
        """Check scalars by name.

        Raises:
            FloatingPointError: Some are nan or inf; it names them.
        """
        names = list(terms)
        device = next((v.device for v in terms.values() if v.device.type == "cuda"), torch.device("cpu"))
        values = torch.stack([v.detach().float().to(device, non_blocking=True) for v in terms.values()])
        if device.type == "cpu":
            return self._check(names, values)
        self.settle()
        host = torch.empty(len(names), pin_memory=True)
        host.copy_(values, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self.pending = (names, host, event)

    def settle(self) -> None:
        """Check the values that are still being copied; call it before the weights are evaluated or saved.

        Raises:
            FloatingPointError: Some are nan or inf; it names them.
        """
        if self.pending is not None:
            names, host, done = self.pending
            self.pending = None
            done.synchronize()
            self._check(names, host)

    @staticmethod
    def _check(names: list[str], values: Tensor) -> None:
        bad = [
            f"{name} is {value:g}" for name, value in zip(names, values.tolist(), strict=True) if not isfinite(value)
        ]
        if bad:
            raise FloatingPointError(", ".join(bad))
