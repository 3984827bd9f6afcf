from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dupl.method.cam import Maps, Present
from dupl.method.network import StudentOutput
from dupl.method.patch_contrast import NoPatchContrast, PatchTokenContrast, contrast, patch_labels
from dupl.structures import IGNORE, Clock

NOW = Clock(0, 10)


def naive(features: Tensor, labels: Tensor) -> float:
    """Pair after pair of patches of one image, over all images."""
    sums, counts = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for f, y in zip(features.flatten(2), labels.flatten(1), strict=True):
        for i in range(len(y)):
            for j in range(len(y)):
                if i == j or IGNORE in (int(y[i]), int(y[j])):
                    continue
                a, b = f[:, i].tolist(), f[:, j].tolist()
                length = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
                same = bool(y[i] == y[j])
                sums[same] += abs(sum(v * w for v, w in zip(a, b, strict=True))) / length
                counts[same] += 1
    return 0.5 * (1 - sums[True] / (counts[True] + 1)) + 0.5 * sums[False] / (counts[False] + 1)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([[0, 1, IGNORE], [0], [0, 2], [IGNORE], [1, IGNORE]]))
def test_contrast_against_a_double_loop(seed: int, choices: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, 2, 3, generator=generator).requires_grad_()
    labels = torch.tensor(choices)[torch.randint(len(choices), (2, 2, 3), generator=generator)]
    value = contrast(features, labels)
    assert value.item() == pytest.approx(naive(features.detach(), labels), abs=1e-5)
    value.backward()
    assert features.grad.isfinite().all()


def test_contrast_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0, 1.0]], [[0.0, 0.0, 1.0]]]])  # two alike, one 45 degrees off
    assert float(contrast(features, torch.tensor([[[1, 1, IGNORE]]]))) == pytest.approx(0.5 * (1 - 2 / 3))
    half = math.sqrt(0.5)
    assert float(contrast(features, torch.tensor([[[1, 1, 0]]]))) == pytest.approx(
        0.5 * (1 - 2 / 3) + 0.5 * 4 * half / 5
    )
    assert float(contrast(-features, torch.tensor([[[1, 1, 0]]]))) == pytest.approx(
        0.5 * (1 - 2 / 3) + 0.5 * 4 * half / 5
    )


def test_nothing_labelled_pulls_nowhere() -> None:
    for features in (torch.randn(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)):
        for label in (IGNORE, 0):
            leaf = features.clone().requires_grad_()
            value = contrast(leaf, torch.full((1, 2, 2), label))
            value.backward()
            assert value.isfinite() and leaf.grad.isfinite().all()
            if label == IGNORE:
                assert value.item() == 0.5 and not leaf.grad.any()


def test_patch_labels_by_hand() -> None:
    present = Present.of(torch.tensor([[0.0, 1, 0, 1], [1, 0, 0, 0]]))
    first = torch.tensor([[0.1, 0.25, 0.3, 0.7, 0.71, 0.9]])
    second = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.8, 0.95]])
    maps = torch.stack([torch.stack([first, second]), torch.stack([first, torch.zeros(1, 6)])])
    boxes = torch.tensor([[0, 1, 0, 6], [0, 1, 1, 5]])
    labels = patch_labels(maps, present, boxes, 0.25, torch.tensor([0.7, 0.28]))
    assert labels[0, 0].tolist() == [0, 0, IGNORE, IGNORE, 4, 4]
    assert labels[1, 0].tolist() == [IGNORE, 0, 1, 1, 1, IGNORE]
    floored = patch_labels(maps, present, boxes, 0.25, torch.tensor([0.7, 0.28]), floor=0.5)
    assert torch.equal(floored[0], labels[0]), "below tau_h it has no effect"
    assert floored[1, 0].tolist() == [IGNORE, 0, 0, 1, 1, IGNORE]


def student(seed: int, patch: int = 8, grid: int = 4) -> tuple[StudentOutput, Maps]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, 6, grid, grid, generator=generator)
    aux = torch.rand(1, 1, patch * grid, patch * grid, generator=generator)
    return StudentOutput(features, features, *[torch.zeros(1, 1)] * 3), Maps(torch.zeros_like(aux), aux)


def value_of(box: list[int], kind: str, students: int = 1) -> float:
    views, maps = zip(*(student(seed) for seed in range(students)), strict=True)
    part = PatchTokenContrast(box=kind)
    present = Present.of(torch.ones(1, 1))
    return float(part(views, maps, present, torch.tensor([box]), 0.25, torch.tensor([0.6]), NOW))


def expected(patches: list[int], seed: int = 0) -> float:
    view, maps = student(seed)
    aux = sum(maps.aux[0, 0, y::8, x::8] for y in (3, 4) for x in (3, 4)) / 4  # bilinear: around each patch's centre
    labels = torch.full((1, 4, 4), IGNORE)
    y0, y1, x0, x1 = patches
    for y, x in np.ndindex(4, 4):
        if y0 <= y < y1 and x0 <= x < x1:
            labels[0, y, x] = 1 if aux[y, x] > 0.6 else IGNORE if aux[y, x] > 0.25 else 0
    return naive(view.features, labels)


def test_the_box_is_in_patches_or_as_released_in_pixels() -> None:
    whole, corner, lower = [0, 32, 0, 32], [0, 16, 0, 24], [8, 32, 16, 32]
    assert value_of(whole, "patches") == pytest.approx(expected([0, 4, 0, 4]), abs=1e-5)
    assert value_of(corner, "patches") == pytest.approx(expected([0, 2, 0, 3]), abs=1e-5)
    assert value_of(lower, "patches") == pytest.approx(expected([1, 4, 2, 4]), abs=1e-5)
    assert value_of(whole, "pixels") == pytest.approx(expected([0, 4, 0, 4]), abs=1e-5)
    assert value_of(corner, "pixels") == pytest.approx(expected([0, 4, 0, 4]), abs=1e-5), "16 px reach beyond 4 patches"
    assert value_of(lower, "pixels") == 0.5, "8 px from the top are below 4 patches: no label at all"
    assert value_of([1, 1, 0, 5], "patches") == value_of([1, 1, 0, 5], "pixels") == 0.5


def test_the_sum_over_students() -> None:
    whole = [0, 32, 0, 32]
    each = [expected([0, 4, 0, 4], seed) for seed in (0, 1)]
    assert value_of(whole, "patches", students=2) == pytest.approx(sum(each), abs=1e-5)


def test_start_null_partner_and_wrong_box() -> None:
    assert (PatchTokenContrast().start, PatchTokenContrast().box) == (0, "patches")
    view, maps = student(0)
    given_ = [view], [maps], Present.of(torch.ones(1, 1)), torch.tensor([[0, 32, 0, 32]]), 0.25, torch.tensor([0.6])
    late = PatchTokenContrast(start=5)
    assert float(late(*given_, Clock(4, 10))) == 0 and float(late(*given_, Clock(5, 10))) > 0
    assert float(PatchTokenContrast(start=1)([view], [], *given_[2:], NOW)) == 0, "no maps are needed before the start"
    assert NoPatchContrast().null and float(NoPatchContrast()(*given_, NOW)) == 0
    half = StudentOutput(*[part.bfloat16() for part in (view.features, view.aux_features)], *[torch.zeros(1, 1)] * 3)
    for part in (PatchTokenContrast(start=5), NoPatchContrast()):
        assert part([half], [], *given_[2:], NOW).dtype == torch.float32
    with pytest.raises(ValueError, match="zip"):
        PatchTokenContrast()([view, view], *given_[1:], NOW)
    with pytest.raises(ValueError, match="patch_contrast.box"):
        PatchTokenContrast(box="metres")
