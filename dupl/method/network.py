"""Sub-nets psi: a ViT with two classifiers, on its last and on an earlier block, or a mix transformer with one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dupl.config.kinds import GIVEN, ArgumentsOf, Count, In, Positive
from dupl.method import equations
from dupl.method.attention import Attention
from dupl.method.backbone import Backbone
from dupl.method.mix_backbone import MixBackbone
from dupl.method.pooling import Pooled, Pooling, pooling_function
from dupl.method.pyramid_head import PyramidHead
from dupl.registry import COMPONENTS


@dataclass(frozen=True)
class StudentOutput:
    """What one student gives for B images: h x w patches, D channels, K foreground classes.

    Attributes:
        features: Final patch tokens (B, D, h, w), the f_i of Eq. 2.
        aux_features: Patch tokens of an earlier block (B, D, h, w); the final ones where there is no such block.
        scores: Class scores before the sigmoid (B, K).
        aux_scores: Scores of the auxiliary classifier (B, K); None where there is none.
        logits: Segmentation logits of P_i (B, K + 1, h, w), background first.
        class_token: Final class token (B, D); None where the backbone has none.
        attention: Queries and keys of the last two blocks; None unless they are asked for.
    """

    features: Tensor
    aux_features: Tensor
    scores: Tensor
    aux_scores: Tensor | None
    logits: Tensor
    class_token: Tensor | None = None
    attention: Attention | None = None


class DilatedHead(nn.Sequential):
    """Segmentation head: two 3x3 convolutions of dilation 5 and one 1x1 (Sec. 4.1).

    Released code: 512 channels, no bias, no norm, ReLU.

    Args:
        dim: Channels of the features, D.
        classes: Classes with background, K + 1.
        channels: Channels of the hidden layers.
        dilation: Dilation of the 3x3 convolutions, in patches.
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
        self.to(memory_format=torch.channels_last)  # the format of its input and of its gradients


@COMPONENTS.register_module()
class SubNet(nn.Module):
    """Sub-net psi of Sec. 3.2: backbone psi^f, classifier psi^c, segmentation head psi^s.

    The auxiliary classifier on an earlier block comes with the baseline.

    Args:
        num_classes: Classes with background, K + 1.
        backbone: Arguments of ``Backbone``.
        pooling: How scores are pooled over patches: "max" (released code, and the baseline of the paper), "avg"
            (Sec. 3.1 reviews CAM with it), "topk", the mean of the highest values, or "lse", a smooth maximum.
        pool_share: Share of the patches that "topk" takes the mean of.
        pool_sharpness: Of "lse": near 0 it is the mean, and a large one gives the maximum.
        pool_over: What is pooled. "features" (released code): each channel by itself, so that a score may join channels
            of different patches. "scores": the scores of the patches, which are what a CAM shows. For "avg" both are
            equal.
        cam_relu: Whether a CAM counts negative evidence as none (ReLU, Eq. 1). Otherwise its normalisation spans the
            negative evidence too, which is most of the evidence where scores are pooled.
        head: Arguments of ``DilatedHead``.

    Raises:
        ValueError: ``pooling`` or ``pool_over`` has no such value, or a number lies outside its range.
        UserError: The backbone cannot be built.
    """

    has_aux: ClassVar[bool] = True  # a classifier on an earlier block
    backbone: Any  # Backbone or MixBackbone
    head: Any

    def __init__(
        self,
        num_classes: Annotated[int, GIVEN],
        backbone: Annotated[dict[str, Any], ArgumentsOf(Backbone)],
        pooling: Pooling = "max",
        pool_share: Annotated[float, In("(0, 1]")] = 0.2,
        pool_sharpness: Positive = 5.0,
        pool_over: Pooled = "features",
        cam_relu: bool = True,
        head: Annotated[dict[str, Any] | None, ArgumentsOf(DilatedHead)] = None,
    ) -> None:
        super().__init__()
        self._set_pooling(pooling, pool_share, pool_sharpness, pool_over)
        self.cam_relu = cam_relu
        self.backbone = Backbone(**backbone)
        dim = self.backbone.dim
        self.classifier = nn.Linear(dim, num_classes - 1, bias=False)
        self.aux_classifier = nn.Linear(dim, num_classes - 1, bias=False)
        for linear in (self.classifier, self.aux_classifier):  # the initialisation of a 1x1 convolution
            nn.init.kaiming_uniform_(linear.weight, a=5**0.5)
        self.head = DilatedHead(dim, num_classes, **(head or {}))

    def forward(self, images: Tensor) -> StudentOutput:
        """Compute everything that training needs of images (B, 3, H, W)."""
        tokens = self.backbone(images)
        return StudentOutput(
            features=tokens.features,
            aux_features=tokens.aux_features,
            scores=self.score(self.classifier, self.read(tokens.features)),
            aux_scores=self.score(self.aux_classifier, self.read(tokens.aux_features)),
            logits=self.head(tokens.features),
            class_token=tokens.class_token,
            attention=tokens.attention,
        )

    def _set_pooling(self, pooling: Pooling, share: float, sharpness: float, over: Pooled) -> None:
        if over not in ("features", "scores"):
            raise ValueError(f'network.pool_over is {over!r}: choose "features" or "scores"')
        self.pool, self.pool_over = pooling_function(pooling, share, sharpness), over
        self.reading = (pooling, share, sharpness) if over == "features" else over  # what ``read`` depends on

    def read(self, features: Tensor) -> Tensor:
        """Return what classifiers read of patch tokens (B, D, h, w): pooled (B, D), or all where scores are pooled."""
        return self.pool(features) if self.pool_over == "features" else features

    def score(self, classifier: nn.Linear, read: Tensor) -> Tensor:
        """Compute the scores (B, K) of a classifier from what ``read`` returned."""
        if self.pool_over == "features":
            scores: Tensor = classifier(read)
            return scores
        return self.pool(F.conv2d(read, classifier.weight[..., None, None]))

    def segment(self, images: Tensor) -> Tensor:
        """Compute only the segmentation logits, (B, K + 1, h, w), of images (B, 3, H, W)."""
        logits: Tensor = self.head(self.backbone(images)[0])
        return logits

    def after_step(self) -> None:
        """Follow the step that the optimiser has just taken: there is nothing that does."""

    def class_evidence(self, features: Tensor, aux_features: Tensor) -> tuple[Tensor, ...]:
        """Compute the sums inside Eq. 1 for both classifiers, each (B, K, h, w), in float32.

        Args:
            features: Final patch tokens, (B, D, h, w).
            aux_features: Patch tokens of the auxiliary block, (B, D, h, w).
        """
        with torch.autocast(features.device.type, enabled=False):
            return (
                equations.class_evidence(features.float(), self.classifier.weight),
                equations.class_evidence(aux_features.float(), self.aux_classifier.weight),
            )


@COMPONENTS.register_module()
class PyramidNet(SubNet):
    """Sub-net of AFA: a mix transformer, one classifier on its last stage, and the head of SegFormer on all four.

    It has no class token and no auxiliary classifier: its auxiliary CAM is its CAM, and components that compare the
    two, or that need a class token, are refused.

    Args:
        num_classes: Classes with background, K + 1.
        backbone: Arguments of ``MixBackbone``.
        pooling: As of ``SubNet``.
        pool_share: As of ``SubNet``.
        pool_sharpness: As of ``SubNet``.
        pool_over: As of ``SubNet``.
        cam_relu: As of ``SubNet``.
        head: Arguments of ``PyramidHead``.

    Raises:
        ValueError: As of ``SubNet``.
        UserError: The backbone cannot be built.
    """

    has_aux = False

    def __init__(
        self,
        num_classes: Annotated[int, GIVEN],
        backbone: Annotated[dict[str, Any], ArgumentsOf(MixBackbone)],
        pooling: Pooling = "max",
        pool_share: Annotated[float, In("(0, 1]")] = 0.2,
        pool_sharpness: Positive = 5.0,
        pool_over: Pooled = "features",
        cam_relu: bool = True,
        head: Annotated[dict[str, Any] | None, ArgumentsOf(PyramidHead)] = None,
    ) -> None:
        nn.Module.__init__(self)
        self._set_pooling(pooling, pool_share, pool_sharpness, pool_over)
        self.cam_relu = cam_relu
        self.backbone = MixBackbone(**backbone)
        self.classifier = nn.Linear(self.backbone.dim, num_classes - 1, bias=False)
        nn.init.kaiming_uniform_(self.classifier.weight, a=5**0.5)
        self.head = PyramidHead(self.backbone.dims, num_classes, **(head or {}))

    def forward(self, images: Tensor) -> StudentOutput:
        """Compute everything that training needs of images (B, 3, H, W); logits have the grid of the first stage."""
        tokens = self.backbone(images)
        return StudentOutput(
            features=tokens.features,
            aux_features=tokens.features,
            scores=self.score(self.classifier, self.read(tokens.features)),
            aux_scores=None,
            logits=self.head(tokens.pyramid),
            attention=tokens.attention,
        )

    def segment(self, images: Tensor) -> Tensor:
        """Compute only the segmentation logits, (B, K + 1, h, w), of images (B, 3, H, W)."""
        logits: Tensor = self.head(self.backbone(images).pyramid)
        return logits

    def class_evidence(self, features: Tensor, aux_features: Tensor) -> tuple[Tensor, ...]:
        """Compute the sum inside Eq. 1 of the classifier, (B, K, h, w), in float32.

        Args:
            features: Features of the last stage, (B, D, h, w).
            aux_features: The same; not read.
        """
        with torch.autocast(features.device.type, enabled=False):
            return (equations.class_evidence(features.float(), self.classifier.weight),)

    def after_step(self) -> None:
        """Let the running statistics of the head follow the step."""
        self.head.after_step()
