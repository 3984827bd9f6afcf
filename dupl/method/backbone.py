"""Vision transformers of timm as feature extractors: build, load weights, read two blocks."""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from dupl.errors import UserError


class Backbone(nn.Module):
    """A timm ViT that returns the patch tokens of its last and of one earlier block.

    Args:
        name: timm's name, with its tag where the tag matters ("deit_base_patch16_224.fb_in1k").
        pretrained: Fetch timm's weights from its hub.
        weights: A local .safetensors or .pth file in timm's layout, instead of the hub.
        aux_block: Block of the auxiliary features, negative from the end. Released code: -3, without the final norm.
        options: Passed on to timm (img_size, patch_size, embed_dim, depth, num_heads, ...).

    Raises:
        UserError: No such model, no weights, or a model without patch tokens.
    """

    def __init__(
        self,
        name: str,
        pretrained: bool = False,
        weights: str | None = None,
        aux_block: int = -3,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.vit: Any = _build(name, pretrained and not weights, dict(options or {}))  # any of timm's ViTs
        if weights:
            load_weights(self.vit, Path(weights))
        depth = len(self.vit.blocks)
        if not -depth <= aux_block < depth:
            raise UserError(f"backbone {name} has {depth} blocks, network.backbone.aux_block is {aux_block}")
        self.blocks_read = [aux_block % depth]
        self.dim: int = self.vit.embed_dim
        self.patch: int = self.vit.patch_embed.feat_ratio()  # pixels, a convolutional stem included
        if isinstance(self.vit, VisionTransformer) and self.vit.pos_embed is not None:
            self.vit.pos_embed.requires_grad_(False)  # Released code: frozen
            self.vit._pos_embed = partial(_add_positions, self.vit)  # type: ignore[method-assign]
        for module in self.vit.modules():
            if type(module) is nn.Linear:
                module.__class__ = PointwiseLinear  # the same parameters under the same names

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Final-norm patch tokens and the auxiliary block's, each (B, D, h, w), for images (B, 3, H, W)."""
        tokens, (aux,) = self.vit.forward_intermediates(images, indices=self.blocks_read)
        final = tokens[:, self.vit.num_prefix_tokens :]  # (B, h w, D)
        return final.transpose(1, 2).reshape(aux.shape), aux

    def fit(self, size: int) -> int:
        """The multiple of the patch size nearest to ``size`` pixels, at least one patch."""
        return max(1, round(size / self.patch)) * self.patch


class PointwiseLinear(nn.Linear):
    """A linear layer that a CPU computes in float32 as a 1x1 convolution.

    The same sums: convolutions go to oneDNN, whose matrix products are up to 1.3x as fast as those of the BLAS that
    linear layers go to (benchmarks/README.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D'); any leading axes."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or x.dim() != 3 or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        columns = x.transpose(1, 2).unsqueeze(2)  # (B, D, 1, N), channels last in memory
        return F.conv2d(columns, self.weight[:, :, None, None], self.bias).squeeze(2).transpose(1, 2)


def _build(name: str, pretrained: bool, options: dict[str, Any]) -> Any:
    if not timm.is_model(name):
        close = get_close_matches(name.split(".")[0], timm.list_models(), 5)
        hint = f"; close: {', '.join(close)}" if close else ""
        raise UserError(f"model.network.backbone.name: timm has no model {name!r}{hint}")
    if files := {"checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"} & options.keys():
        raise UserError(f"backbone.options has {min(files)}: weights are given by backbone.weights")
    arguments = dict(num_classes=0, dynamic_img_size=True, **options)
    try:
        vit = timm.create_model(name, pretrained=pretrained, **arguments)
    except TypeError as error:
        raise UserError(f"backbone {name} takes no such option: {error}; it must be a ViT of timm") from error
    except Exception as error:
        if "Invalid pretrained tag" in str(error):
            tags = ", ".join(timm.list_models(f"{name.split('.')[0]}.*", pretrained=True))
            raise UserError(f"model.network.backbone.name: {error} timm has {tags or 'no weights of it'}") from error
        if not pretrained:
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"no weights for backbone {name} ({reason}): give a local file by "
            "--set model.network.backbone.weights=FILE.safetensors, or start from random by "
            "--set model.network.backbone.pretrained=False"
        ) from error
    if not hasattr(vit, "forward_intermediates") or not hasattr(vit, "blocks"):
        raise UserError(f"backbone {name} is no ViT: it has no blocks of patch tokens")
    return vit


def load_weights(vit: Any, file: Path) -> None:
    """Load timm weights from a local file; the classification head of the file is left out.

    Raises:
        UserError: No such file, not a state dict, or keys that do not fit.
    """
    if not file.is_file():
        raise UserError(f"model.network.backbone.weights: no file {file}")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(str(file))
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
            state = state.get("model", state.get("state_dict", state))
        state = {k: v.float() for k, v in state.items()}
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file} is not a readable weights file: {reason}") from error
    try:
        state = checkpoint_filter_fn(state, vit)
        wrong = vit.load_state_dict(
            {k: v for k, v in state.items() if not k.startswith(("head.", "head_dist.", "fc_norm."))},
            strict=False,
        )
    except RuntimeError as error:  # shapes of another model
        told = " ".join(str(error).split())[:300]
        raise UserError(f"{file} does not fit the backbone: {told}") from error
    if wrong.missing_keys or wrong.unexpected_keys:
        told = f"missing {wrong.missing_keys[:5]}, unexpected {wrong.unexpected_keys[:5]}"
        raise UserError(f"{file} does not fit the backbone: {told}")


def _add_positions(vit: Any, tokens: Tensor) -> Tensor:
    """Prefix tokens and position embedding, resized to the image's grid by plain bicubic as in the released code.

    timm's own resizing smooths first when the grid shrinks.

    Args:
        vit: The model.
        tokens: Patch embedding, (B, h, w, D).

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
