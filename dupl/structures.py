"""Small frozen records that every floor may share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

IGNORE = 255  # label of a pixel that supervises nothing
IMAGE_MEAN = (0.485, 0.456, 0.406)  # ImageNet, for every backbone, as in the released code
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Clock:
    """Where training stands.

    Attributes:
        t: Iterations done so far, 0 at the first step.
        T: Iterations of the whole run, at least 1.
    """

    t: int
    T: int


@dataclass(frozen=True)
class View:
    """What one student says of a batch of B images; h x w patches, D channels, K foreground classes.

    Attributes:
        features: Final patch tokens (B, D, h, w), the f_i of Eq. 2.
        aux_features: Patch tokens of an earlier block (B, D, h, w).
        scores: Class scores before the sigmoid (B, K).
        aux_scores: The auxiliary classifier's scores (B, K).
        logits: Segmentation map P_i (B, K + 1, h, w), background first.
    """

    features: Tensor
    aux_features: Tensor
    scores: Tensor
    aux_scores: Tensor
    logits: Tensor
