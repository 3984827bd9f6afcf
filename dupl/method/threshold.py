"""[DTA] Dynamic threshold adjustment: the high threshold tau_h over training (Sec. 3.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dupl.config.kinds import Share, Start
from dupl.method import equations
from dupl.method.component import Component
from dupl.registry import COMPONENTS
from dupl.structures import Clock


def _in_unit(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"threshold.{name} is {value}: a threshold on a CAM lies in [0, 1]")


@COMPONENTS.register_module()
class CosineDescent(Component):
    """Eq. 5: a cosine from tau_h(0) to tau_h(T) over all iterations, the same for every class.

    Args:
        initial: tau_h(0), in [0, 1].
        final: tau_h(T), in [0, 1].

    Raises:
        ValueError: A threshold lies outside its range.
    """

    def __init__(self, initial: Share = 0.7, final: Share = 0.55) -> None:
        super().__init__()
        _in_unit(initial=initial, final=final)
        self.initial, self.final = initial, final

    def __call__(self, clock: Clock, tags: Tensor) -> Tensor:
        """Return tau_h of each image, (B,), for tags (B, K)."""
        return tags.new_full((len(tags),), equations.tau_h(clock, self.initial, self.final))


@COMPONENTS.register_module()
class PerClassCosineDescent(Component):
    """Released code: a final value for each class; an image takes the highest tau_h of its classes.

    Args:
        initial: tau_h(0), in [0, 1].
        final: tau_h(T) in [0, 1]: one for all foreground classes, a list in their order, or a dict by class name, which
            the builder turns into a list (`dupl.config.per_class`).
        start: First iteration of the descent. Released code: the step is divided by (T - start) - 1, so that the last
            iteration has the final values.

    Raises:
        ValueError: A threshold lies outside its range.
    """

    EARLY = ("initial",)

    def __init__(
        self, initial: Share = 0.7, final: Share | Sequence[Share] | Mapping[str, Share] = 0.55, start: Start = 2000
    ) -> None:
        super().__init__(start)
        if isinstance(final, Mapping):
            raise ValueError("threshold.final is by class name: a model alone takes a list in the order of the classes")
        targets = list(final) if isinstance(final, Sequence) else [final]
        _in_unit(initial=initial, **{f"final[{i}]": value for i, value in enumerate(targets)})
        self.initial, self.final = initial, targets

    def __call__(self, clock: Clock, tags: Tensor) -> Tensor:
        """Return tau_h of each image, (B,), for tags (B, K); ``initial`` for an image without tags.

        Raises:
            ValueError: ``final`` has neither one value nor one for each class.
        """
        if len(self.final) not in (1, tags.shape[1]):
            raise ValueError(f"threshold.final has {len(self.final)} values for {tags.shape[1]} classes")
        step, steps = clock.t - self.start, clock.T - self.start
        progress = 0.0 if step < 0 else 1.0 if step >= steps else step / max(steps - 1, 1)
        descent = (1 - math.cos(math.pi * progress)) / 2
        final = torch.tensor(self.final, dtype=tags.dtype, device=tags.device).expand(tags.shape[1])
        per_class = self.initial + (final - self.initial) * descent  # (K,)
        highest = (per_class * (tags > 0)).amax(1)
        return torch.where((tags > 0).any(1), highest, per_class.new_tensor(self.initial))


@COMPONENTS.register_module()
class FixedThreshold(Component):
    """DTA switched off: tau_h is constant.

    Args:
        value: tau_h, in [0, 1].

    Raises:
        ValueError: ``value`` lies outside its range.
    """

    null = True

    def __init__(self, value: Share = 0.7) -> None:
        super().__init__()
        _in_unit(value=value)
        self.value = value

    def __call__(self, clock: Clock, tags: Tensor) -> Tensor:
        """Return tau_h of each image, (B,)."""
        return tags.new_full((len(tags),), self.value)
