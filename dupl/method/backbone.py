"""A vision transformer of timm that gives the patch tokens of two blocks, the class token and its attention."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Attention as TimmAttention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from dupl.errors import UserError
from dupl.method.attention import Attention
from dupl.method.timm_vit import build_vit, load_weights
from dupl.places import find_weights

# A 1x1 convolution is the same at any dilation, but with one thread torch gives only dilated ones to oneDNN.
DILATION = 2 if platform.machine() in ("x86_64", "AMD64") else 1


class Tokens(NamedTuple):
    """What a backbone computes of B images: h x w patches, D channels.

    Attributes:
        features: Patch tokens after the final norm, (B, D, h, w).
        aux_features: Patch tokens of the auxiliary block, (B, D, h, w).
        class_token: Class token after the final norm, (B, D); None where the model has none.
        attention: Queries and keys of the last two blocks; None unless they are asked for by ``tap``.
        pyramid: Features of every stage, the finest first; empty where the model has one stage.
    """

    features: Tensor
    aux_features: Tensor
    class_token: Tensor | None
    attention: Attention | None = None
    pyramid: Sequence[Tensor] = ()


class Backbone(nn.Module):
    """A ViT of timm that returns its class token and the patch tokens of its last and of one earlier block.

    Released code: the position embedding is frozen.

    Args:
        name: Name of the model in timm, with the tag of its weights, such as "deit_base_patch16_224.fb_in1k".
        pretrained: Whether to download the weights of that tag.
        weights: A local .safetensors or .pth file with the keys of timm, used instead of a download.
        aux_block: Block of the auxiliary features, negative from the end. Released code: -3, without the final norm.
        options: Further arguments for timm: img_size, patch_size, embed_dim, depth, num_heads and others.
        fit: What becomes of a scaled side that is not a multiple of the patch size: "round" resizes to the nearest
            multiple, "drop" leaves out the rows below and the columns to the right of the last whole patch (released
            code).

    Attributes:
        dim: Channels of the features, D.
        patch: Side of a patch, in pixels.
        has_class_token: Whether the model has a class token.
        drops: Whether a pass with gradients drops something that a pass without does not: never.

    Raises:
        UserError: timm has no such model or no weights of it, the file does not fit, or the model has no patch tokens.
    """

    drops = False

    def __init__(
        self,
        name: str,
        pretrained: bool = False,
        weights: str | None = None,
        aux_block: int = -3,
        options: dict[str, Any] | None = None,
        fit: Literal["round", "drop"] = "round",
    ) -> None:
        super().__init__()
        if fit not in ("round", "drop"):
            raise UserError(f'model.network.backbone.fit is {fit!r}: choose "round" or "drop"')
        self.fit = fit
        self.vit: Any = build_vit(name, pretrained and not weights, dict(options or {}))
        if weights:
            load_weights(self.vit, find_weights(weights))
        depth = len(self.vit.blocks)
        if not -depth <= aux_block < depth:
            raise UserError(f"model.network.backbone.aux_block is {aux_block}, but {name} has {depth} blocks")
        self.blocks_read = [aux_block % depth]
        self.dim: int = self.vit.embed_dim
        self.patch: int = self.vit.patch_embed.feat_ratio()  # a convolutional stem included
        self.has_class_token = getattr(self.vit, "cls_token", None) is not None
        if isinstance(self.vit, VisionTransformer) and self.vit.pos_embed is not None:
            self.vit.pos_embed.requires_grad_(False)  # Released code: frozen
            self.vit._pos_embed = partial(_add_positions, self.vit)  # type: ignore[method-assign]
        self.taps: list[AttentionTap] = []
        for module in self.vit.modules():
            if type(module) is nn.Linear:
                module.__class__ = PointwiseLinear  # the same parameters under the same names

    def forward(self, images: Tensor) -> Tokens:
        """Compute patch tokens and class token of images (B, 3, H, W).

        Args:
            images: Normalised; H and W are multiples of the patch size, or at least one patch if ``fit`` is "drop".
        """
        tokens, (aux,) = self.vit.forward_intermediates(self.whole_patches(images), indices=self.blocks_read)
        final = tokens[:, self.vit.num_prefix_tokens :]  # (B, h w, D)
        class_token = tokens[:, 0] if self.has_class_token else None
        pairs = [tap.take() for tap in self.taps]
        return Tokens(
            final.transpose(1, 2).reshape(aux.shape), aux, class_token, Attention.of(pairs) if pairs else None
        )

    @property
    def heads(self) -> int:
        """Attention heads of the last two blocks."""
        return sum(block.attn.num_heads for block in self.vit.blocks[-2:])

    def tap(self) -> None:
        """Return queries and keys of the last two blocks from now on.

        Raises:
            UserError: The model's attention is not the plain one: it turns queries and keys by their places, as EVA's
                does, or computes them by layers of their own.
        """
        if not all(isinstance(getattr(block, "attn", None), TimmAttention) for block in self.vit.blocks[-2:]):
            raise UserError(
                "model.affinity reads queries and keys of the attention, which this backbone does not show: choose "
                "a plain ViT such as deit_base_patch16_224"
            )
        self.taps = self.taps or [
            AttentionTap(block.attn, self.vit.num_prefix_tokens) for block in self.vit.blocks[-2:]
        ]

    def class_token(self, images: Tensor) -> Tensor:
        """Compute only the class token after the final norm, (B, D), of images (B, 3, H, W)."""
        token: Tensor = self.vit.forward_features(self.whole_patches(images))[:, 0]
        for tap in self.taps:
            tap.seen = None
        return token

    def whole_patches(self, images: Tensor) -> Tensor:
        """Return the images without the rows and columns after the last whole patch, if ``fit`` is "drop"."""
        if self.fit != "drop":
            return images
        height, width = (side // self.patch * self.patch for side in images.shape[-2:])
        return images[..., :height, :width]

    def scaled_side(self, size: int) -> int:
        """Return the side in pixels that an image is resized to for a scaled side of ``size``; at least one patch."""
        if self.fit == "drop":
            return max(size, self.patch)
        return max(1, round(size / self.patch)) * self.patch


class PointwiseLinear(nn.Linear):
    """A linear layer that is computed as a 1x1 convolution on a CPU in float32.

    The result is the same up to rounding. Convolutions use oneDNN, whose matrix products are up to 2.2 times as fast as
    those of the BLAS that linear layers use (benchmarks/README.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D'), with any number of leading axes."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or x.dim() != 3 or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        columns = x.transpose(1, 2).unsqueeze(2)  # (B, D, 1, N), channels last in memory
        weight = self.weight[:, :, None, None]
        return F.conv2d(columns, weight, self.bias, dilation=DILATION).squeeze(2).transpose(1, 2)


class AttentionTap:
    """Keep what the query and key layer of a block gives, until it is taken.

    Args:
        attention: Attention of timm, with one layer for queries, keys and values.
        prefix: Tokens before the patches, which are left out.
    """

    def __init__(self, attention: Any, prefix: int) -> None:
        self.attention, self.prefix = attention, prefix
        self.seen: Tensor | None = None
        attention.qkv.register_forward_hook(self.keep)

    def keep(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        """Keep queries, keys and values, (B, N, 3 heads d)."""
        self.seen = output

    def take(self) -> tuple[Tensor, Tensor]:
        """Return queries and keys of the patches, (B, heads, N, d) each."""
        assert self.seen is not None
        q, k, _ = self.seen.unflatten(2, (3, self.attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        self.seen = None
        q, k = self.attention.q_norm(q), self.attention.k_norm(k)
        return q[:, :, self.prefix :], k[:, :, self.prefix :]


def _add_positions(vit: Any, tokens: Tensor) -> Tensor:
    """Add the position embedding, resized to the grid of the image, and prepend the prefix tokens.

    Released code: plain bicubic interpolation; timm smooths first when the grid becomes smaller.

    Args:
        vit: The model.
        tokens: Patch embeddings, (B, h, w, D).

    Returns:
        (B, prefix + h w, D).
    """
    batch, height, width, dim = tokens.shape
    prefixed = 0 if vit.no_embed_class else vit.num_prefix_tokens
    fixed, grid = vit.pos_embed[:, :prefixed], vit.pos_embed[:, prefixed:]
    base = vit.patch_embed.grid_size
    if (height, width) != tuple(base):
        grid = grid.reshape(1, *base, dim).permute(0, 3, 1, 2).float()
        grid = F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
        grid = grid.permute(0, 2, 3, 1).reshape(1, height * width, dim).to(fixed.dtype)
    kinds = (vit.cls_token, getattr(vit, "dist_token", None), vit.reg_token)
    prefix = [t.expand(batch, -1, -1) for t in kinds if t is not None]
    patches = tokens.reshape(batch, height * width, dim) + grid
    if prefix and prefixed:
        prefix = [torch.cat(prefix, 1) + fixed]
    return vit.pos_drop(torch.cat([*prefix, patches], 1))
