"""Turning a batch of the loader into the arguments of a method, on its device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from dupl.method.cam import Present


def to_device(data: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the arguments of ``Method.loss``.

    Args:
        data: image (B, 3, H, W), tags (B, K), box (B, 4), seed (B,), all on the CPU; the training loop's clock; and
            mask (B, H, W) for methods that learn from masks.
        device: Where the tensors go; seeds stay on the CPU.
    """
    to: dict[str, Any] = {"device": device, "non_blocking": True}
    batch = {
        "images": data["image"].to(**to),
        "tags": data["tags"].to(**to),
        "present": Present.of(data["tags"]).to(device),
        "boxes": data["box"].to(**to),
        "seeds": data["seed"].tolist(),
        "clock": data["clock"],
    }
    return batch | ({"masks": data["mask"].to(**to)} if "mask" in data else {})
