"""[L_dis] Discrepancy loss: keeps the features of the two students apart (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dupl.config.kinds import Start
from dupl.errors import UserError
from dupl.method import equations
from dupl.method.component import Component
from dupl.method.network import StudentOutput
from dupl.method.students import Students
from dupl.registry import COMPONENTS
from dupl.structures import Clock

Over = Literal["image", "channel", "token"]
FORMS = {
    "log": equations.discrepancy,
    "one_plus": equations.discrepancy_one_plus,
    "positive": equations.discrepancy_positive,
    "squared": equations.discrepancy_squared,
}


class _Discrepancy(Component):
    """Args: over: what the cosine is taken over; start: first iteration at which it acts."""

    def __init__(self, over: Over, start: Start = 0) -> None:
        super().__init__(start)
        if over not in ("image", "channel", "token"):
            raise ValueError(f'discrepancy.over is {over!r}: choose "image", "channel" or "token"')
        self.over = over

    def __call__(self, outputs: Sequence[StudentOutput], clock: Clock) -> Tensor:
        """Compute L_dis of two students, a scalar; 0 before ``start``."""
        if not self.active(clock):
            return outputs[0].features.new_zeros((), dtype=torch.float32)
        f_1, f_2 = (output.features.float() for output in outputs)
        return equations.symmetric(self.one_way, _flat(f_1, self.over), _flat(self.mapped(f_2), self.over))

    def bind(self, students: Students) -> None:
        """Check that the features of both students can be compared.

        Raises:
            UserError: They have different numbers of channels.
        """
        dims = {net.backbone.dim for net in students}
        if len(dims) > 1:
            raise UserError(
                f"L_dis compares features of {' and '.join(map(str, sorted(dims)))} channels: set "
                "model.discrepancy.type=MappedDiscrepancy or NoDiscrepancy"
            )

    def mapped(self, features: Tensor) -> Tensor:
        """Return the features of student 2 that are compared with those of student 1."""
        return features

    @staticmethod
    def one_way(f_1: Tensor, f_2: Tensor) -> Tensor:
        """Compute one direction of Eq. 3 over the last axis."""
        raise NotImplementedError


def _flat(features: Tensor, over: Over) -> Tensor:
    """Flatten (B, D, h, w) to (B, D h w), the image, (B, D, h w), each channel, or (B, h w, D), each token."""
    if over == "image":
        return features.flatten(1)
    return features.flatten(2) if over == "channel" else features.flatten(2).transpose(1, 2)


@COMPONENTS.register_module()
class LogCosineDiscrepancy(_Discrepancy):
    """Eq. 2-3: -log(1 - cos), over the whole feature map of an image.

    Args:
        over: "image" (paper), "channel" or "token", all channels of one patch.
        start: First iteration at which it acts.

    Raises:
        ValueError: ``over`` is none of the three.
    """

    def __init__(self, over: Over = "image", start: Start = 0) -> None:
        super().__init__(over, start)

    one_way = staticmethod(equations.discrepancy)


@COMPONENTS.register_module()
class OnePlusCosine(_Discrepancy):
    """Released code: 1 + cos, per channel over the flattened spatial axes, mean over batch and channels.

    Args:
        over: "channel" (released), "image" or "token", all channels of one patch, as in CCVC.
        start: First iteration at which it acts.

    Raises:
        ValueError: ``over`` is none of the three.
    """

    def __init__(self, over: Over = "channel", start: Start = 0) -> None:
        super().__init__(over, start)

    one_way = staticmethod(equations.discrepancy_one_plus)


@COMPONENTS.register_module()
class OrthogonalDiscrepancy(_Discrepancy):
    """A discrepancy that is lowest where the features of the two students are orthogonal, not where they are opposite.

    Args:
        form: "positive", max(0, cos), or "squared", cos^2.
        over: "channel", "image" or "token", all channels of one patch.
        start: First iteration at which it acts.

    Raises:
        ValueError: ``form`` or ``over`` is none of its values.
    """

    def __init__(
        self, form: Literal["positive", "squared"] = "positive", over: Over = "channel", start: Start = 0
    ) -> None:
        super().__init__(over, start)
        if form not in ("positive", "squared"):
            raise ValueError(f'discrepancy.form is {form!r}: choose "positive" or "squared"')
        self.one_way = FORMS[form]  # type: ignore[method-assign]


@COMPONENTS.register_module()
class MappedDiscrepancy(_Discrepancy, nn.Module):
    """The discrepancy between student 1 and a learned 1x1 mapping of student 2.

    The mapping can meet the loss by itself, so that the features of both students may point to the same objects. It
    learns at the rate of the heads.

    Source: Wang et al., *Conflict-Based Cross-View Consistency for Semi-Supervised Semantic Segmentation*, 2023.

    Args:
        form: "one_plus", 1 + cos (CCVC), "log" (Eq. 2), "positive", max(0, cos), or "squared", cos^2.
        over: "token", all channels of one patch (CCVC), "channel" or "image".
        relu: Whether a ReLU follows the mapping.
        start: First iteration at which it acts.

    Raises:
        ValueError: ``form`` or ``over`` is none of its values.
    """

    def __init__(
        self,
        form: Literal["one_plus", "log", "positive", "squared"] = "one_plus",
        over: Over = "token",
        relu: bool = False,
        start: Start = 0,
    ) -> None:
        nn.Module.__init__(self)
        _Discrepancy.__init__(self, over, start)
        if form not in FORMS:
            raise ValueError(f"discrepancy.form is {form!r}: choose from {', '.join(FORMS)}")
        self.one_way, self.relu = FORMS[form], relu  # type: ignore[method-assign]

    def bind(self, students: Students) -> None:
        """Build the mapping from the channels of student 2 to those of student 1."""
        dims = [net.backbone.dim for net in students]
        self.mapping = nn.Conv2d(dims[-1], dims[0], 1, bias=False)

    def mapped(self, features: Tensor) -> Tensor:
        """Map the features of student 2, (B, D, h, w)."""
        mapped: Tensor = self.mapping(features)
        return mapped.relu() if self.relu else mapped


@COMPONENTS.register_module()
class NoDiscrepancy(Component):
    """L_dis switched off: always 0."""

    null = True

    def __call__(self, outputs: Sequence[StudentOutput], clock: Clock) -> Tensor:
        """Return a scalar 0."""
        return outputs[0].features.new_zeros(())
