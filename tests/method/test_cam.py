from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dupl.method.cam import Present, label_by_threshold, multi_scale_cam
from dupl.method.network import SubNet

SCALES = (1.0, 0.5, 1.5)


@pytest.fixture
def net(network: dict[str, Any]) -> SubNet:
    torch.manual_seed(0)
    return SubNet(num_classes=6, **network).eval()


def photos(count: int = 3, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


TAGS = torch.tensor([[0.0, 1, 0, 0, 1], [1, 0, 1, 1, 0], [0, 0, 0, 0, 0]])


def every_class(net: SubNet, images: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of all classes as the released code makes them, scale by scale."""
    height, width = images.shape[-2:]
    sums: list[Any] = [0, 0]
    for scale in SCALES:
        size = (int(scale * height), int(scale * width))
        scaled = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        kinds = []
        for x in (scaled, scaled.flip(-1)):
            features = net.backbone(x)[:2]
            weights = (net.classifier.weight, net.aux_classifier.weight)
            maps = [torch.einsum("bdhw,kd->bkhw", f, w) for f, w in zip(features, weights, strict=True)]
            kinds.append([F.interpolate(m, size=(height, width), mode="bilinear", align_corners=False) for m in maps])
        for i in range(2):
            both = torch.maximum(kinds[0][i], kinds[1][i].flip(-1))
            sums[i] = sums[i] + (both.clamp(min=0) if net.cam_relu else both)
    low = [m - m.flatten(2).min(2).values[..., None, None] for m in sums]
    main, aux = (m / (m.flatten(2).max(2).values[..., None, None] + 1e-5) for m in low)
    return main, aux


@torch.no_grad()
def test_maps_of_present_classes_against_those_of_all(net: SubNet) -> None:
    images, present = photos(), Present.of(TAGS)
    maps = multi_scale_cam(net, images, present, SCALES)
    main, aux = every_class(net, images)
    assert maps.main.shape == maps.aux.shape == (3, 3, 32, 32)
    for b in range(3):
        classes = TAGS[b].nonzero()[:, 0].tolist()
        assert torch.allclose(maps.main[b, : len(classes)], main[b, classes], atol=1e-5)
        assert torch.allclose(maps.aux[b, : len(classes)], aux[b, classes], atol=1e-5)
        assert not maps.main[b, len(classes) :].any() and not maps.aux[b, len(classes) :].any()
    assert maps.main.min() >= 0 and maps.main.max() < 1 and maps.main[0, 0].max() > 0.99


@torch.no_grad()
def test_a_cam_without_relu_spans_negative_evidence(net: SubNet) -> None:
    images, present = photos(), Present.of(TAGS)
    rectified = multi_scale_cam(net, images, present, SCALES).main
    net.cam_relu = False
    maps, (main, aux) = multi_scale_cam(net, images, present, SCALES), every_class(net, images)
    classes = TAGS[0].nonzero()[:, 0].tolist()
    assert torch.allclose(maps.main[0, : len(classes)], main[0, classes], atol=1e-5)
    assert torch.allclose(maps.aux[0, : len(classes)], aux[0, classes], atol=1e-5)
    assert not maps.main[0, len(classes) :].any(), "unfilled slots stay 0"
    assert (maps.main == 0).sum() < (rectified == 0).sum(), "its only 0 in a filled slot is the least evidence"


@torch.no_grad()
def test_the_training_forward_is_reused(net: SubNet) -> None:
    images, present = photos(), Present.of(TAGS)
    view = net(images)
    sizes: list[tuple[int, ...]] = []
    net.backbone.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape)))
    fresh = multi_scale_cam(net, images, present, SCALES)
    assert sizes == [(6, 3, 32, 32), (6, 3, 16, 16), (6, 3, 48, 48)]
    sizes.clear()
    reused = multi_scale_cam(net, images, present, SCALES, view)
    assert sizes == [(3, 3, 32, 32), (6, 3, 16, 16), (6, 3, 48, 48)], "at scale 1 only the flip is new"
    assert torch.allclose(fresh.main, reused.main, atol=1e-5) and torch.allclose(fresh.aux, reused.aux, atol=1e-5)


def test_no_gradient_and_the_view_is_left_alone(net: SubNet) -> None:
    view = net(photos())
    before = view.features.detach().clone()
    maps = multi_scale_cam(net, photos(), Present.of(TAGS), SCALES, view)
    assert not maps.main.requires_grad and torch.equal(view.features, before)


def test_flipped_images_have_flipped_maps(net: SubNet) -> None:
    images, present = photos(), Present.of(TAGS)
    straight = multi_scale_cam(net, images, present, SCALES)
    mirrored = multi_scale_cam(net, images.flip(-1), present, SCALES)
    assert torch.allclose(straight.main, mirrored.main.flip(-1), atol=1e-4)
    assert torch.allclose(straight.aux, mirrored.aux.flip(-1), atol=1e-4)


def test_each_image_alone(net: SubNet) -> None:
    images = photos()
    together = multi_scale_cam(net, images, Present.of(TAGS), SCALES)
    for b in range(3):
        alone = multi_scale_cam(net, images[b : b + 1], Present.of(TAGS[b : b + 1]), SCALES)
        slots = alone.main.shape[1]
        assert torch.allclose(alone.main[0], together.main[b, :slots], atol=1e-4)


def test_sides_that_are_no_whole_patches(net: SubNet) -> None:
    """36 px = 4.5 patches: scaled sides go to the nearest whole number of patches, maps to the image's own size."""
    sizes: list[int] = []
    net.backbone.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))
    images = torch.randn(1, 3, 36, 36)
    maps = multi_scale_cam(net, images, Present.of(TAGS[:1]), (1.0, 0.5, 0.1))
    assert maps.main.shape == (1, 2, 36, 36) and all(size % 8 == 0 for size in sizes)
    assert sizes == [32, 16, 8] and [net.backbone.scaled_side(s) for s in (1, 8, 11, 13, 60)] == [8, 8, 8, 16, 64]


def test_sides_whose_rest_is_dropped(network: dict[str, Any]) -> None:
    """36 px = 4.5 patches: the network sees all pixels, and its features are those of the whole patches alone."""
    network["backbone"]["fit"] = "drop"
    torch.manual_seed(0)
    net = SubNet(num_classes=6, **network).eval()
    sizes: list[int] = []
    net.backbone.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))
    images = torch.randn(1, 3, 36, 36)
    maps = multi_scale_cam(net, images, Present.of(TAGS[:1]), (1.0, 0.5, 0.1))
    assert maps.main.shape == (1, 2, 36, 36) and sizes == [36, 18, 8]
    with torch.no_grad():
        assert torch.equal(net.backbone(images)[0], net.backbone(images[..., :32, :32])[0])
        mirrored = net.backbone(images.flip(-1))[0]
        assert torch.equal(mirrored, net.backbone(images[..., :32, 4:].flip(-1))[0]), "the mirror image loses its left"


# Slots


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 7))
def test_present_round_trip(seed: int, batch: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tags = (torch.rand(batch, classes, generator=generator) < 0.4).float()
    present = Present.of(tags)
    assert present.index.shape == present.valid.shape == (batch, max(1, int(tags.sum(1).max())))
    back = torch.zeros_like(tags)
    for b in range(batch):
        filled = present.index[b][present.valid[b]]
        assert filled.tolist() == sorted(filled.tolist()), "in the order of the classes"
        back[b, filled] = 1
    assert torch.equal(back, tags)
    maps = torch.rand(batch, classes, 2, 3, generator=generator)
    picked = present.pick(maps)
    winner = torch.randint(picked.shape[1], (batch, 2, 3), generator=generator)
    labels = present.label(winner)
    for b, y, x in np.ndindex(*winner.shape):
        slot = int(winner[b, y, x])
        assert int(labels[b, y, x]) == int(present.index[b, slot]) + 1
        assert picked[b, slot, y, x] == maps[b, int(present.index[b, slot]), y, x]
    moved = present.to(torch.device("cpu"))
    assert torch.equal(moved.index, present.index) and torch.equal(moved.valid, present.valid)


def test_label_by_threshold_by_hand() -> None:
    present = Present.of(torch.tensor([[0.0, 1, 0, 1], [0, 0, 0, 0]]))
    first = torch.tensor([[0.1, 0.5, 0.51, 0.9]])
    second = torch.tensor([[0.2, 0.4, 0.6, 0.8]])
    maps = torch.stack([torch.stack([first, second]), torch.zeros(2, 1, 4)])
    labels = label_by_threshold(maps, present, 0.5)
    assert labels.tolist() == [[[0, 0, 4, 2]], [[0, 0, 0, 0]]] and labels.dtype == torch.int64
    assert label_by_threshold(maps, present, 0.0)[1].sum() == 0, "a map of zeros shows no class"
