"""Weights of timm's models on the Hugging Face hub: find them in its cache, or fetch them, or say at once why not.

The hub's own client tries for minutes to reach the network, which compute nodes of a cluster do not have.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlparse

import timm

from dupl.errors import UserError

FILE = "model.safetensors"
PATIENCE = 3.0  # seconds for a connection to the hub
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def cached_weights(name: str) -> Path | None:
    """Return the file of a model's weights in the hub's cache; None where it has none."""
    from huggingface_hub import try_to_load_from_cache

    repository = _repository(name)
    found = try_to_load_from_cache(repository, FILE) if repository else None
    return Path(found) if isinstance(found, str) else None


def fetch_weights(name: str) -> Path:
    """Fetch the weights of a model into the hub's cache, and return their file; what is there is not fetched again.

    Raises:
        UserError: The hub has no weights of the model, or cannot be reached.
    """
    from huggingface_hub import hf_hub_download

    if (found := cached_weights(name)) is not None:
        return found
    if (repository := _repository(name)) is None:
        raise UserError(f"timm has no weights of {name!r} on the hub: name a model with a tag, or a recipe")
    check_hub(name)
    try:
        return Path(hf_hub_download(repository, FILE))
    except Exception as error:  # of the client, which has many
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"weights of {name} could not be fetched: {reason}") from None


def check_hub(name: str) -> None:
    """Check that the hub can be reached, within seconds.

    Args:
        name: The model whose weights are wanted, for the message.

    Raises:
        UserError: It cannot.
    """
    from huggingface_hub import constants

    place = urlparse(constants.ENDPOINT)
    reason = "HF_HUB_OFFLINE is set"
    if not constants.HF_HUB_OFFLINE:
        if any(os.environ.get(variable) for variable in PROXIES):
            return
        try:
            port = place.port or (443 if place.scheme == "https" else 80)
            socket.create_connection((place.hostname or "", port), PATIENCE).close()
            return
        except (OSError, RuntimeError) as error:
            reason = f"{place.hostname} cannot be reached: {error}"
    raise UserError(
        f"no weights for backbone {name} ({reason}): fetch them where there is a network, such as on a login node, by "
        f"`dupl data prepare weights {name}`; or give a local file by --set "
        "model.network.backbone.weights=FILE.safetensors, or start from random weights by "
        "--set model.network.backbone.pretrained=False"
    )


def _repository(name: str) -> str | None:
    """Return the repository of a model's weights on the hub; None where timm knows none."""
    try:
        known = timm.get_pretrained_cfg(name)
    except (RuntimeError, ValueError):
        return None
    repository = getattr(known, "hf_hub_id", None)
    if known is None or not repository:
        return None
    return f"{repository}{known.architecture}.{known.tag}" if repository.endswith("/") else str(repository)
