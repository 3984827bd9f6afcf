"""Which patches the discrepancy loss compares: all of them, or those that a CAM does not call background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from dupl.method.cam import Maps
from dupl.method.component import Component
from dupl.method.network import StudentOutput
from dupl.registry import COMPONENTS


@COMPONENTS.register_module()
class Everywhere(Component):
    """L_dis compares all patches."""

    null = True

    def __call__(
        self, outputs: Sequence[StudentOutput], cams: Sequence[Maps] | None, tau_l: float
    ) -> Sequence[StudentOutput]:
        """Return the outputs."""
        return outputs


@COMPONENTS.register_module()
class ObjectTokens(Component):
    """L_dis compares the patches that the CAM of at least one student calls undecided or foreground.

    The features of all others are set to 0: they add nothing to a cosine over an image or a channel, and count as
    orthogonal in one over a token. Where no CAMs are made yet, all patches are compared.
    """

    def __init__(self) -> None:
        super().__init__()

    def __call__(
        self, outputs: Sequence[StudentOutput], cams: Sequence[Maps] | None, tau_l: float
    ) -> Sequence[StudentOutput]:
        """Return the outputs with the features of background patches set to 0.

        Args:
            outputs: What each student gave.
            cams: CAMs of each, (B, M, H, W); None before there are any.
            tau_l: Score above which a CAM is not background.
        """
        if cams is None:
            return outputs
        highest = torch.stack([maps.main.amax(1) for maps in cams]).amax(0)[:, None]  # (B, 1, H, W)
        objects = F.adaptive_max_pool2d(highest, outputs[0].features.shape[-2:]) > tau_l
        return [replace(output, features=output.features * objects) for output in outputs]
