"""The projection head of the class token contrast."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dupl.config.kinds import GIVEN, Count


class Projector(nn.Module):
    """Three linear layers, L2 normalisation, and similarities to unit vectors.

    Released code: the layers start from a truncated normal distribution of width 0.02, the vectors from torch's
    default; the result is not normalised. The vectors are stored unnormalised, as a weight norm with a fixed gain of 1
    does.

    Args:
        dim: Channels of the class token, D.
        hidden: Channels of the two hidden layers.
        bottleneck: Channels of the normalised layer.
        out: Number of unit vectors.
    """

    def __init__(
        self, dim: Annotated[int, GIVEN], hidden: Count = 2048, bottleneck: Count = 256, out: Count = 1024
    ) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        for name, parameter in self.mlp.named_parameters():
            nn.init.trunc_normal_(parameter, std=0.02) if name.endswith("weight") else nn.init.zeros_(parameter)
        self.vectors = nn.Linear(bottleneck, out, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Project class tokens (..., D) to (..., out), in float32."""
        with torch.autocast(tokens.device.type, enabled=False):
            unit = F.normalize(self.mlp(tokens.float()), dim=-1)
            return F.linear(unit, F.normalize(self.vectors.weight, dim=1))
