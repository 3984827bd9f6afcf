"""What holds for any numbers, of the equations and transforms that have no such test beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dupl.method import equations
from dupl.method.boxes import inside
from dupl.method.cam import Present, label_by_threshold
from dupl.method.patch_contrast import patch_labels
from dupl.method.perturb import StrongPerturbation
from dupl.method.pixels import denormalise, normalise
from dupl.method.refine import PixelAdaptiveRefinement
from dupl.structures import IGNORE

SEED = st.integers(0, 10**6)
few = settings(max_examples=40)


def draw(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(shape: tuple[int, ...], top: int, seed: int) -> Tensor:
    return torch.randint(top, shape, generator=torch.Generator().manual_seed(seed))


# Equations


@few
@given(SEED, st.floats(0, 100), st.integers(1, 4), st.integers(1, 4))
def test_cam_grows_with_its_evidence_and_is_blind_to_place(seed: int, gain: float, height: int, width: int) -> None:
    """Eq. 1: M(g F) = g M(F) for g >= 0; M >= 0; a moved feature is a moved map; evidence is linear in W."""
    F, W, V = draw((2, 3, height, width), seed), draw((4, 3), seed + 1), draw((4, 3), seed + 2)
    M = equations.cam(F, W)
    assert (M >= 0).all() and torch.allclose(equations.cam(gain * F, W), gain * M, atol=1e-9)
    assert torch.allclose(equations.cam(F.roll(1, 3).flip(2), W), M.roll(1, 3).flip(2), atol=1e-12)
    both = equations.class_evidence(F, W) + equations.class_evidence(F, V)
    assert torch.allclose(equations.class_evidence(F, W + V), both, atol=1e-9)


@few
@given(SEED)
def test_the_order_of_the_students_does_not_matter(seed: int) -> None:
    """Eq. 3 is symmetric, and so are its gradients."""
    for one_way in (equations.discrepancy, equations.discrepancy_one_plus):
        f_1, f_2 = draw((2, 5), seed).requires_grad_(), draw((2, 5), seed + 1).requires_grad_()
        value = equations.symmetric(one_way, f_1, f_2)
        assert value.item() == pytest.approx(equations.symmetric(one_way, f_2, f_1).item())
        forth = torch.autograd.grad(value, (f_1, f_2))
        back = torch.autograd.grad(equations.symmetric(one_way, f_2, f_1), (f_1, f_2))
        assert all(torch.allclose(a, b) for a, b in zip(forth, back, strict=True))


@few
@given(SEED, st.integers(1, 30), st.floats(0, 1))
def test_masked_mean_against_a_loop(seed: int, count: int, share: float) -> None:
    values = draw((count,), seed)
    mask = torch.rand(count, generator=torch.Generator().manual_seed(seed)) < share
    chosen = [v for v, m in zip(values.tolist(), mask.tolist(), strict=True) if m]
    assert float(equations.masked_mean(values, mask)) == pytest.approx(sum(chosen) / len(chosen) if chosen else 0)


@few
@given(SEED, st.sampled_from([equations.cross_entropy, equations.balanced_cross_entropy]))
def test_losses_of_labels_do_not_ask_where_a_pixel_is(seed: int, loss) -> None:
    """Eq. 4: any order of pixels and images; at least 0; 0 for a sure and right prediction."""
    P = draw((2, 3, 2, 4), seed).log_softmax(1)
    Y = torch.tensor([0, 1, 2, IGNORE])[whole((2, 2, 4), 4, seed)]
    order = torch.randperm(16, generator=torch.Generator().manual_seed(seed))
    shuffled = P.movedim(1, 0).reshape(3, 16)[:, order].reshape(3, 2, 2, 4).movedim(0, 1)
    assert float(loss(P, Y)) == pytest.approx(float(loss(shuffled, Y.flatten()[order].view(2, 2, 4))))
    sure = torch.nn.functional.one_hot(Y.masked_fill(Y == IGNORE, 0), 3).movedim(3, 1).double().mul(1000)
    assert float(loss(P, Y)) >= 0 and float(loss(sure.log_softmax(1), Y)) == pytest.approx(0)


@few
@given(SEED, st.floats(0.01, 0.98), st.floats(0, 0.01), st.floats(0, 2), st.floats(0, 2))
def test_a_surer_posterior_or_a_wider_gap_filters_less(
    seed: int, gamma: float, more: float, eta: float, wider: float
) -> None:
    """Eq. 7 is monotone in gamma and eta; means that are swapped filter nothing."""
    log_odds, mean = 3 * draw((4, 20), seed), draw((4, 2), seed + 1).abs().sort(1).values
    noisy = equations.noisy_pixels(log_odds, mean, gamma, eta)
    assert not (equations.noisy_pixels(log_odds, mean, gamma + more, eta + wider) & ~noisy).any()
    assert not equations.noisy_pixels(log_odds, mean.flip(1), gamma, eta).any()
    for b, n in np.ndindex(4, 20):
        rho = 1 / (1 + math.exp(-float(log_odds[b, n])))
        if abs(rho - gamma) > 1e-9:
            assert bool(noisy[b, n]) == (rho > gamma and float(mean[b, 1] - mean[b, 0]) > eta)


@few
@given(SEED, st.floats(-5, 5))
def test_noise_odds_move_with_the_losses(seed: int, shift: float) -> None:
    """Eq. 6: losses and means shifted alike, or all in another unit, change no odds."""
    loss, mean = draw((2, 9), seed), draw((2, 2), seed + 1)
    weight, variance = draw((2, 2), seed + 2).softmax(1), draw((2, 2), seed + 3).exp()
    odds = equations.noise_log_odds(loss, weight, mean, variance)
    assert torch.allclose(equations.noise_log_odds(loss + shift, weight, mean + shift, variance), odds, atol=1e-6)
    unit = math.exp(shift / 5)
    other = equations.noise_log_odds(unit * loss, weight, unit * mean, unit**2 * variance)
    assert torch.allclose(other, odds, atol=1e-6)
    turned = equations.noise_log_odds(loss, weight.flip(1), mean.flip(1), variance.flip(1))
    assert torch.allclose(turned, -odds, atol=1e-9), "the clean one's odds are the noisy one's, inverted"


@few
@given(SEED, st.lists(st.floats(0, 3), min_size=4, max_size=4))
def test_the_total_is_linear_in_its_weights(seed: int, weights: list[float]) -> None:
    """Eq. 9."""
    names = ("ptc", "dis", "seg", "reg")
    values = draw((5,), seed).abs()
    terms = dict(zip(("L_cls", *(f"L_{name}" for name in names)), values, strict=True))
    found = equations.total(terms, dict(zip(names, weights, strict=True)))["loss"]
    naive = float(values[0]) + sum(w * float(v) for w, v in zip(weights, values[1:], strict=True))
    assert float(found) == pytest.approx(naive)


# Labels from maps


@few
@given(SEED, st.floats(0, 1))
def test_labels_by_threshold_against_a_loop(seed: int, threshold: float) -> None:
    tags = (torch.rand(2, 4, generator=torch.Generator().manual_seed(seed)) < 0.5).float()
    present = Present.of(tags)
    maps = torch.rand(2, present.index.shape[1], 2, 3, generator=torch.Generator().manual_seed(seed))
    maps = maps * present.valid[..., None, None]
    labels = label_by_threshold(maps, present, threshold)
    for b, y, x in np.ndindex(2, 2, 3):
        scores = [float(v) for v in maps[b, :, y, x]]
        best = max(range(len(scores)), key=lambda m: scores[m])
        expected = int(present.index[b, best]) + 1 if scores[best] > threshold else 0
        assert int(labels[b, y, x]) == expected
        assert expected == 0 or tags[b, expected - 1], "only classes that the image has"


@few
@given(SEED, st.floats(0, 0.5), st.floats(0.5, 1), st.lists(st.integers(0, 5), min_size=4, max_size=4))
def test_patch_labels_against_a_loop(seed: int, low: float, high: float, corners: list[int]) -> None:
    tags = torch.ones(1, 3)
    present = Present.of(tags)
    maps = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    y0, y1, x0, x1 = *sorted(corners[:2]), *sorted(corners[2:])
    boxes = torch.tensor([[y0, y1, x0, x1]])
    labels = patch_labels(maps, present, boxes, low, torch.tensor([high]))
    seen = inside(boxes, (4, 5))
    for y, x in np.ndindex(4, 5):
        scores = [float(v) for v in maps[0, :, y, x]]
        best = max(scores)
        expected = 0 if best <= low else scores.index(best) + 1 if best > torch.tensor(high).item() else IGNORE
        within = y0 <= y < y1 and x0 <= x < x1
        assert bool(seen[0, y, x]) == within and int(labels[0, y, x]) == (expected if within else IGNORE)


@few
@given(SEED, st.floats(-2, 2), st.integers(0, 3))
def test_refinement_is_linear_and_keeps_what_is_constant(seed: int, gain: float, iterations: int) -> None:
    refine = PixelAdaptiveRefinement(dilations=[1, 2], iterations=iterations)
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, 5, 6, generator=generator)
    one, two = torch.rand(2, 1, 2, 5, 6, generator=generator)
    affinity = refine.affinity(image)
    if iterations:  # else nothing reads the affinity, and none is computed
        assert torch.allclose(affinity.sum(0), torch.full((1, 5, 6), 1.01), atol=1e-4) and (affinity >= 0).all()
    both = refine.spread(affinity, one + gain * two)
    assert torch.allclose(both, refine.spread(affinity, one) + gain * refine.spread(affinity, two), atol=1e-4)
    constant = refine.spread(affinity, torch.full_like(one, 0.3))
    assert torch.allclose(constant, torch.full_like(one, 0.3 * refine.gain), atol=1e-4)
    spread = refine.spread(affinity, one)
    assert float(spread.max()) <= refine.gain * float(one.max()) + 1e-4 and float(spread.min()) >= 0
    mirrored = refine.spread(refine.affinity(image.flip(-1)), one.flip(-1))
    assert torch.allclose(mirrored, spread.flip(-1), atol=1e-4)


# Transforms


@few
@given(SEED, st.integers(1, 6), st.integers(1, 6))
def test_normalising_and_back_are_inverse_on_bytes(seed: int, height: int, width: int) -> None:
    pixels = whole((2, 3, height, width), 256, seed).float() / 255
    assert torch.equal(denormalise(normalise(pixels)), pixels)
    beyond = denormalise(normalise(5 * pixels - 2))
    assert beyond.min() >= 0 and beyond.max() <= 1


@few
@given(SEED, st.integers(1, 9), st.integers(1, 9), st.floats(0.1, 2), st.booleans())
def test_what_phi_does_to_labels_is_undone(seed: int, height: int, width: int, scale: float, flip: bool) -> None:
    """phi' is nearest neighbour: it mixes no labels; a flip twice is none; undo has the size of the weak view."""
    phi = StrongPerturbation(flip=float(flip), scale=scale)
    labels = torch.tensor([0, 1, 2, IGNORE])[whole((2, height, width), 4, seed)]
    flipped = torch.tensor([True, False])
    size = (max(1, int(scale * height)), max(1, int(scale * width)))
    twin = phi.twin(labels, flipped, size)
    assert twin.shape == (2, *size) and twin.dtype == labels.dtype
    assert set(twin.unique().tolist()) <= set(labels.unique().tolist())
    assert torch.equal(phi.twin(phi.twin(labels, flipped, (height, width)), flipped, (height, width)), labels)
    logits = draw((2, 3, *size), seed)
    back = phi.undo(logits, flipped, (height, width))
    assert back.shape == (2, 3, height, width)
    assert float(back.min()) >= float(logits.min()) - 1e-9 and float(back.max()) <= float(logits.max()) + 1e-9
    assert torch.allclose(phi.undo(logits.flip(-1), ~flipped, (height, width)), back, atol=1e-9)


@few
@given(SEED, st.integers(1, 12), st.integers(1, 12), st.integers(0, 7))
def test_phi_of_images_of_any_size(seed: int, height: int, width: int, ops: int) -> None:
    images = whole((1, 3, height, width), 256, seed).float() / 255
    strong = StrongPerturbation(ops=ops)(images, [seed], lambda side: max(1, side))
    assert strong.images.isfinite().all() and float(strong.images.min()) >= 0 and float(strong.images.max()) <= 1
