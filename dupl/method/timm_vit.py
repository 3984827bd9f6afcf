"""Build a vision transformer of timm and load its weights, with an error message for each way that it can fail."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn

from dupl.errors import UserError
from dupl.method.timm_weights import cached_weights, check_hub


def build_vit(name: str, pretrained: bool, options: dict[str, Any]) -> Any:
    """Build a ViT of timm without a classification head.

    Args:
        name: Name of the model in timm, with or without a tag.
        pretrained: Whether to download the weights of the tag.
        options: Further arguments for timm.

    Raises:
        UserError: timm has no such model, tag or option, the weights cannot be had, or the model is not a ViT.
    """
    if not timm.is_model(name):
        close = get_close_matches(name.split(".")[0], timm.list_models(), 5)
        hint = f"; similar names: {', '.join(close)}" if close else ""
        raise UserError(f"model.network.backbone.name: timm has no model {name!r}{hint}")
    if files := {"checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"} & options.keys():
        raise UserError(
            f"model.network.backbone.options has {min(files)}: give weights by model.network.backbone.weights instead"
        )
    arguments = dict(num_classes=0, dynamic_img_size=True, **options)
    if pretrained and _has_weights(name):
        if (file := cached_weights(name)) is not None:
            arguments["pretrained_cfg_overlay"] = {"file": str(file)}  # without asking the network
        else:
            check_hub(name)
    try:
        vit = timm.create_model(name, pretrained=pretrained, **arguments)
    except TypeError as error:
        raise UserError(
            f"model.network.backbone.options: {name} does not accept them ({error}); it must be a ViT of timm"
        ) from error
    except Exception as error:
        if "Invalid pretrained tag" in str(error):
            tags = ", ".join(timm.list_models(f"{name.split('.')[0]}.*", pretrained=True))
            raise UserError(f"model.network.backbone.name: {error} timm has {tags or 'no weights of it'}") from error
        if not pretrained:
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"no weights for backbone {name} ({reason}): give a local file by "
            "--set model.network.backbone.weights=FILE.safetensors, or start from random weights by "
            "--set model.network.backbone.pretrained=False"
        ) from error
    if not hasattr(vit, "forward_intermediates") or not hasattr(vit, "blocks"):
        raise UserError(f"model.network.backbone.name: {name} is not a ViT, it has no blocks of patch tokens")
    return vit


def _has_weights(name: str) -> bool:
    """Return whether timm knows weights of a name; an unknown tag is an error that names the known ones."""
    return name in timm.list_models(f"{name.split('.')[0]}*", pretrained=True) or "." not in name


def load_weights(vit: Any, file: Path, adapt: Callable[..., Any] = checkpoint_filter_fn) -> None:
    """Load the weights of a local file into a ViT; a classification head in the file is ignored.

    Args:
        vit: The model.
        file: A .safetensors file, or a state dict saved by torch.
        adapt: Turns the state of the file and the model into a state with the keys of the model.

    Raises:
        UserError: There is no such file, it holds no state dict, or its keys or shapes do not fit the model.
    """
    if not file.is_file():
        raise UserError(f"model.network.backbone.weights: there is no file {file}")
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
        raise UserError(f"model.network.backbone.weights: {file} is not a readable weights file: {reason}") from error
    try:
        state = adapt(state, vit)
        wrong = vit.load_state_dict(
            {k: v for k, v in state.items() if not k.startswith(("head.", "head_dist.", "fc_norm."))},
            strict=False,
        )
    except RuntimeError as error:  # shapes of another model
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"model.network.backbone.weights: {file} does not fit the backbone: {reason}") from error
    if wrong.missing_keys or wrong.unexpected_keys:
        reason = f"missing {wrong.missing_keys[:5]}, unexpected {wrong.unexpected_keys[:5]}"
        raise UserError(f"model.network.backbone.weights: {file} does not fit the backbone: {reason}")
