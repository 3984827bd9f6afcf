from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dupl.method.cam import Present
from dupl.method.dupl import DuPL
from dupl.structures import Clock

K, SIDE, PATCH = 3, 32, 8
STARTS = dict(seg=10, late=20)  # of L_seg, and of ANF and L_reg
FORMS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": dict(
        students=dict(type="DualStudent"),
        discrepancy=dict(type="LogCosineDiscrepancy"),
        threshold=dict(type="CosineDescent"),
        noise_filter=dict(type="MixtureFilter", start=20, min_pixels=20, eta=0.0),
        consistency=dict(type="FilteredConsistency", start=20),
        segmentation=dict(type="CrossEntropy", start=10),
    ),
    "released": dict(
        students=dict(type="DualStudent"),
        discrepancy=dict(type="OnePlusCosine"),
        threshold=dict(type="PerClassCosineDescent", final=[0.7, 0.55, 0.55], start=10),
        noise_filter=dict(type="MixtureFilter", fit_on="foreground", start=20, min_pixels=20, eta=0.0),
        consistency=dict(type="ConfidentConsistency", confidence=0.0, start=20),
        segmentation=dict(type="BalancedCrossEntropy", start=10),
    ),
}
OFF: dict[str, dict[str, dict[str, Any]]] = {
    "DS": dict(students=dict(type="SingleStudent")),
    "L_dis": dict(discrepancy=dict(type="NoDiscrepancy")),
    "DTA": dict(threshold=dict(type="FixedThreshold")),
    "ANF": dict(noise_filter=dict(type="TrustAll")),
    "L_reg": dict(consistency=dict(type="NoConsistency")),
}
NETWORK = dict(
    backbone=dict(
        name="vit_tiny_patch16_224",
        options=dict(img_size=SIDE, patch_size=PATCH, embed_dim=32, depth=3, num_heads=2),
    ),
    head=dict(channels=16, dilation=1),
)


@pytest.fixture
def network() -> dict[str, Any]:
    """Arguments of a tiny ``SubNet``: 4 x 4 patches, 32 channels, 3 blocks."""
    return {**NETWORK, "backbone": dict(NETWORK["backbone"])}


@pytest.fixture
def build(network: dict[str, Any]) -> Callable[..., DuPL]:
    """A tiny ``DuPL`` in the "paper" or "released" form, without the components in ``off``."""

    def make(form: str = "released", off: tuple[str, ...] = (), seed: int = 0, **changes: Any) -> DuPL:
        torch.manual_seed(seed)
        parts: dict[str, Any] = dict(FORMS[form])
        for name in off:
            parts |= OFF[name]
        parts |= dict(
            patch_contrast=dict(type="PatchTokenContrast", start=0),
            refine=dict(type="PixelAdaptiveRefinement", dilations=[1, 2], iterations=2),
            perturb=dict(type="StrongPerturbation", ops=2),
            cam_scales=[1.0, 0.5],
        )
        model = DuPL(num_classes=K + 1, **(dict(network=network) | parts | changes))
        with torch.no_grad():  # losses of an untrained head hardly differ; noise is found where they do
            for net in model.students:
                net.head[4].weight *= 100
        return model

    return make


def make_batch(
    tags: list[list[int]], t: int = 0, boxes: list[list[int]] | None = None, seed: int = 0
) -> dict[str, Any]:
    """What ``DuPL.loss`` takes, for random images with these classes (0-based) and iteration t of 40."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(len(tags), K)
    for row, classes in zip(labels, tags, strict=True):
        row[classes] = 1
    whole = [[0, SIDE, 0, SIDE]] * len(tags)
    return dict(
        images=torch.randn(len(tags), 3, SIDE, SIDE, generator=generator),
        tags=labels,
        present=Present.of(labels),
        boxes=torch.tensor(boxes or whole),
        seeds=list(range(len(tags))),
        clock=Clock(t, 40),
    )


@pytest.fixture
def batch() -> Callable[..., dict[str, Any]]:
    """``make_batch``."""
    return make_batch


def random_tags(generator: torch.Generator, count: int, classes: int = K) -> Tensor:
    """0/1 tags, any number of classes an image, none included."""
    return (torch.rand(count, classes, generator=generator) < 0.5).float()


@pytest.fixture
def some_tags() -> Callable[..., Tensor]:
    """``random_tags``."""
    return random_tags
