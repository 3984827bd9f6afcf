"""One sub-net psi: a ViT, a classifier on its last block, one on an earlier block, and a dilated segmentation head."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dupl.config.kinds import GIVEN, ArgumentsOf, Count
from dupl.method.backbone import Backbone
from dupl.method.equations import class_evidence
from dupl.registry import COMPONENTS
from dupl.structures import View


class DilatedHead(nn.Sequential):
    """Two 3x3 convolutions of dilation 5 and one 1x1 (Sec. 4.1); released code: 512 channels, no bias, no norm, ReLU.

    Args:
        dim: Channels of the features, D.
        classes: Classes with background, K + 1.
        channels: Of the hidden layers.
        dilation: In patches.
    """

    def __init__(
        self,
        dim: Annotated[int, GIVEN],
        classes: Annotated[int, GIVEN],
        channels: Count = 512,
        dilation: Count = 5,
    ) -> None:
        super().__init__(
            nn.Conv2d(dim, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, classes, 1, bias=False),
        )
        self.to(memory_format=torch.channels_last)  # as its input is, and so its gradients


@COMPONENTS.register_module()
class SubNet(nn.Module):
    """psi of Sec. 3.2: backbone psi^f, classifier psi^c (and the baseline's auxiliary one), segmentation head psi^s.

    Args:
        num_classes: Classes with background, K + 1.
        backbone: Arguments of ``Backbone``.
        pooling: "max" or "avg" over patches before the classifier. Released code, and the baseline the paper builds
            on: "max"; Sec. 3.1 reviews CAM with "avg".
        head: Arguments of ``DilatedHead``.
    """

    def __init__(
        self,
        num_classes: Annotated[int, GIVEN],
        backbone: Annotated[dict[str, Any], ArgumentsOf(Backbone)],
        pooling: Literal["max", "avg"] = "max",
        head: Annotated[dict[str, Any] | None, ArgumentsOf(DilatedHead)] = None,
    ) -> None:
        super().__init__()
        if pooling not in ("max", "avg"):
            raise ValueError(f'network.pooling is {pooling!r}: choose "max" or "avg"')
        self.backbone = Backbone(**backbone)
        self.pool = F.adaptive_max_pool2d if pooling == "max" else F.adaptive_avg_pool2d
        dim = self.backbone.dim
        self.classifier = nn.Linear(dim, num_classes - 1, bias=False)
        self.aux_classifier = nn.Linear(dim, num_classes - 1, bias=False)
        for linear in (self.classifier, self.aux_classifier):  # as a 1x1 convolution starts
            nn.init.kaiming_uniform_(linear.weight, a=5**0.5)
        self.head = DilatedHead(dim, num_classes, **(head or {}))

    def forward(self, images: Tensor) -> View:
        """Everything that training asks of images (B, 3, H, W)."""
        features, aux = self.backbone(images)
        return View(
            features=features,
            aux_features=aux,
            scores=self.classifier(self.pool(features, 1).flatten(1)),
            aux_scores=self.aux_classifier(self.pool(aux, 1).flatten(1)),
            logits=self.head(features),
        )

    def segment(self, images: Tensor) -> Tensor:
        """Only the segmentation logits, (B, K + 1, h, w)."""
        logits: Tensor = self.head(self.backbone(images)[0])
        return logits

    def evidence(self, features: Tensor, aux_features: Tensor) -> tuple[Tensor, Tensor]:
        """The sums inside Eq. 1 of both classifiers, each (B, K, h, w), in float32."""
        with torch.autocast(features.device.type, enabled=False):
            return (
                class_evidence(features.float(), self.classifier.weight),
                class_evidence(aux_features.float(), self.aux_classifier.weight),
            )
