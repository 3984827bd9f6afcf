"""A mix transformer as a backbone: features of every stage, and queries and keys of the last blocks."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from dupl.config.kinds import Share
from dupl.errors import UserError
from dupl.method.backbone import PointwiseLinear, Tokens
from dupl.method.drop import SeededDrop
from dupl.method.mix_transformer import SIZES, MixTransformer
from dupl.method.timm_vit import load_weights
from dupl.places import find_weights


class MixBackbone(nn.Module):
    """A mix transformer of SegFormer, which has no class token and no auxiliary block.

    Args:
        name: "mit_b0" to "mit_b5".
        pretrained: Must be False: timm has no weights of it; give ``weights``.
        weights: A .pth or .safetensors file with the keys of SegFormer's ImageNet weights.
        options: Other sizes: dims, depths, heads, ratios, strides. Released code of AFA: the last stride is 1.
        fit: What becomes of a scaled side that is no multiple of the patch size: "round" resizes to the nearest
            multiple, "any" keeps it; the patches overlap, so that any side will do (released code).
        drop_path: Stochastic depth of the last block; it rises linearly from 0 at the first one.
        drop_in_cams: Whether branches are dropped in the passes of the CAMs too (released code).

    Attributes:
        dim: Channels of the last stage, D.
        patch: Side of a patch of the last stage, in pixels.
        has_class_token: False.

    Raises:
        UserError: There is no such size, the file does not fit, or a value lies outside its range.
    """

    has_class_token = False

    def __init__(
        self,
        name: str = "mit_b1",
        pretrained: bool = False,
        weights: str | None = None,
        options: dict[str, Any] | None = None,
        fit: Literal["round", "any"] = "round",
        drop_path: Share = 0.1,
        drop_in_cams: bool = False,
    ) -> None:
        super().__init__()
        where = "model.network.backbone"
        if name not in SIZES:
            raise UserError(f"{where}.name is {name!r}: PyramidNet takes {', '.join(SIZES)}")
        if pretrained and not weights:
            raise UserError(
                f"{where}.pretrained=True: timm has no weights of {name}; set {where}.pretrained=False and "
                f"{where}.weights to the file of SegFormer's ImageNet weights"
            )
        if fit not in ("round", "any"):
            raise UserError(f'{where}.fit is {fit!r}: choose "round" or "any"')
        if not 0 <= drop_path < 1:
            raise UserError(f"{where}.drop_path is {drop_path}: a rate lies in [0, 1)")
        try:
            self.vit = MixTransformer(
                **{**SIZES[name], **(options or {})}, drop_path=drop_path, drop_in_cams=drop_in_cams
            )
        except (TypeError, IndexError) as error:
            raise UserError(f"{where}.options: {name} does not accept them ({error})") from error
        if weights:
            load_weights(self.vit, find_weights(weights), lambda state, _: state)
        self.name, self.fit = name, fit
        self.dims = self.vit.dims
        self.dim, self.patch = self.dims[-1], self.vit.patch
        for module in self.vit.modules():
            if type(module) is nn.Linear:
                module.__class__ = PointwiseLinear

    @property
    def drops(self) -> bool:
        """Whether a pass with gradients drops branches that a pass without does not."""
        parts = (module for module in self.modules() if isinstance(module, SeededDrop))
        return self.training and any(part.generators and part.rate > 0 and not part.in_cams for part in parts)

    @property
    def heads(self) -> int:
        """Attention heads whose queries and keys are returned."""
        blocks = list(self.vit.blocks)[-2:]
        return sum(block.attn.heads for block in blocks)

    def tap(self) -> None:
        """Return queries and keys: they always are."""

    def forward(self, images: Tensor) -> Tokens:
        """Compute the features of every stage of images (B, 3, H, W), normalised.

        Raises:
            UserError: They are smaller than the model can take.
        """
        if min(images.shape[-2:]) < self.vit.least:
            sides = " x ".join(str(side) for side in images.shape[-2:])
            raise UserError(f"an image of {sides} px is too small for {self.name}, which needs {self.vit.least} px")
        pyramid, attention = self.vit(images)
        return Tokens(pyramid[-1], pyramid[-1], None, attention, pyramid)

    def scaled_side(self, size: int) -> int:
        """Return the side in pixels that an image is resized to for a scaled side of ``size``; at least the least."""
        side = size if self.fit == "any" else round(size / self.patch) * self.patch
        return max(side, self.vit.least)
