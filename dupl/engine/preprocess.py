"""Turning a batch of the loader into the arguments of a method, on its device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from dupl.method.cam import Present
from dupl.method.class_contrast import ContrastImages


def to_device(data: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the arguments of ``Method.loss``.

    Args:
        data: image (B, 3, H, W), tags (B, K), box (B, 4), seed (B,), all on the CPU; the training loop's clock;
            mask (B, H, W) for methods that learn from masks; and other_view and local_source, as image, where the
            class token contrast is on.
        device: Where the tensors go; seeds stay on the CPU.
    """
    to: dict[str, Any] = {"device": device, "non_blocking": True}
    batch: dict[str, Any] = {
        "images": data["image"].to(**to),
        "tags": data["tags"].to(**to),
        "present": Present.of(data["tags"]).to(device),
        "boxes": data["box"].to(**to),
        "seeds": data["seed"].tolist(),
        "clock": data["clock"],
    }
    if "mask" in data:
        batch["masks"] = data["mask"].to(**to)
    if "local_source" in data:
        batch["contrast"] = ContrastImages(data["other_view"].to(**to), data["local_source"].to(**to))
    return batch
