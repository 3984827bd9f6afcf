from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor

from dupl.method import equations
from dupl.structures import IGNORE, Clock

PIXEL_LOSSES = [equations.cross_entropy, equations.balanced_cross_entropy]


def draw(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_labels(shape: tuple[int, ...], choices: list[int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.tensor(choices)[torch.randint(len(choices), shape, generator=generator)]


def pixel_losses(P: Tensor, Y: Tensor) -> dict[tuple[int, int, int], float]:
    """-log softmax of the label at every labelled pixel, one at a time."""
    losses = {}
    for b, y, x in np.ndindex(*Y.shape):
        label = int(Y[b, y, x])
        if label != IGNORE:
            logits = P[b, :, y, x].tolist()
            losses[b, y, x] = math.log(sum(math.exp(v) for v in logits)) - logits[label]
    return losses


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


# Eq. 1


def test_cam_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -4.0]]]])  # (1, 2, 1, 2)
    weight = torch.tensor([[1.0, 1.0], [-1.0, 0.5], [0.0, 0.0]])  # (3, 2)
    assert equations.class_evidence(features, weight).tolist() == [[[[4.0, -2.0]], [[0.5, -4.0]], [[0.0, 0.0]]]]
    assert equations.cam(features, weight).tolist() == [[[[4.0, 0.0]], [[0.5, 0.0]], [[0.0, 0.0]]]]


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 5, 3, 2, 4), (3, 2, 6, 3, 1)])
def test_cam_is_the_sum_over_channels(shape: tuple[int, ...]) -> None:
    batch, dim, classes, height, width = shape
    F, W = draw((batch, dim, height, width), 0), draw((classes, dim), 1)
    M = equations.cam(F, W)
    assert M.shape == (batch, classes, height, width)
    for b, c, y, x in np.ndindex(*M.shape):
        naive = sum(float(W[c, i]) * float(F[b, i, y, x]) for i in range(dim))
        assert float(M[b, c, y, x]) == pytest.approx(max(naive, 0.0), abs=1e-12)


def test_max_min_norm_by_hand() -> None:
    maps = torch.tensor([[[2.0, 4.0], [3.0, 6.0]], [[5.0, 5.0], [5.0, 5.0]]])
    normed = equations.max_min_norm(maps, eps=0.0)
    assert normed[0].tolist() == [[0.0, 0.5], [0.25, 1.0]] and normed[1].isnan().all()
    normed = equations.max_min_norm(maps)
    assert torch.allclose(normed[0], torch.tensor([[0.0, 2.0], [1.0, 4.0]]) / 4.00001)
    assert not normed[1].any(), "a constant map has nothing to show"


@given(st.integers(0, 10**6), st.floats(-5, 5), st.floats(0.1, 50))
def test_max_min_norm_is_in_the_unit_interval_and_blind_to_shifts(seed: int, shift: float, gain: float) -> None:
    maps = draw((2, 3, 4, 5), seed)
    before = maps.clone()
    normed = equations.max_min_norm(maps)
    assert float(normed.min()) >= 0 and float(normed.max()) < 1 and torch.equal(maps, before)
    assert torch.allclose(equations.max_min_norm(maps + shift), normed, atol=1e-9)
    assert torch.allclose(equations.max_min_norm(maps * gain, eps=0), equations.max_min_norm(maps, eps=0))
    assert torch.equal(equations.max_min_norm(maps[1, 2]), normed[1, 2]), "each map is normalised on its own"


# Eq. 2-3


def test_discrepancy_by_hand() -> None:
    f_1 = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [3.0, 4.0]], dtype=torch.float64)
    f_2 = torch.tensor([[0.0, 5.0], [-2.0, 0.0], [1.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    cosine = [0.0, -1.0, 1 / math.sqrt(2), 1.0]
    logs = [-math.log(1 - c + 1e-6) for c in cosine]
    assert equations.discrepancy(f_1, f_2).tolist() == pytest.approx(logs)
    assert logs == pytest.approx([0.0, -math.log(2), 1.22795, 13.8155], abs=1e-4)
    assert equations.discrepancy_one_plus(f_1, f_2).tolist() == pytest.approx([1.0, 0.0, 1.7071068, 2.0])


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_discrepancy_sees_directions_only(seed: int, gain: float) -> None:
    f_1, f_2 = draw((3, 7), seed), draw((3, 7), seed + 1)
    for one_way, low, high in (
        (equations.discrepancy, -math.log(2) - 1e-6, -math.log(1e-6)),
        (equations.discrepancy_one_plus, 0.0, 2.0),
    ):
        value = one_way(f_1, f_2)
        assert value.shape == (3,) and bool(((low <= value) & (value <= high)).all())
        assert torch.allclose(one_way(f_1 * gain, f_2), value, rtol=1e-6)
        assert torch.allclose(one_way(f_2, f_1), value)
        for row in range(3):
            a, b = f_1[row].tolist(), f_2[row].tolist()
            dot = sum(x * y for x, y in zip(a, b, strict=True))
            cosine = dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
            naive = 1 + cosine if one_way is equations.discrepancy_one_plus else -math.log(1 - cosine + 1e-6)
            assert float(value[row]) == pytest.approx(naive, rel=1e-6)


@pytest.mark.parametrize("one_way", [equations.discrepancy, equations.discrepancy_one_plus])
def test_discrepancy_is_over_the_last_axis(one_way: Callable[[Tensor, Tensor], Tensor]) -> None:
    f_1, f_2 = draw((2, 3, 7), 0), draw((2, 3, 7), 1)
    value = one_way(f_1, f_2)
    assert value.shape == (2, 3) and torch.allclose(value[1], one_way(f_1[1], f_2[1]))


@pytest.mark.parametrize("one_way", [equations.discrepancy, equations.discrepancy_one_plus])
def test_symmetric_stops_the_gradient_of_the_other_student(one_way: Callable[[Tensor, Tensor], Tensor]) -> None:
    f_1, f_2 = (draw((2, 3, 6), seed).requires_grad_() for seed in (0, 1))
    value = equations.symmetric(one_way, f_1, f_2)
    assert value.item() == pytest.approx(2 * one_way(f_1, f_2).mean().item())
    of_1, of_2 = torch.autograd.grad(value, (f_1, f_2))
    (alone_1,) = torch.autograd.grad(one_way(f_1, f_2.detach()).mean(), f_1)
    (alone_2,) = torch.autograd.grad(one_way(f_2, f_1.detach()).mean(), f_2)
    assert torch.equal(of_1, alone_1) and torch.equal(of_2, alone_2)
    (both,) = torch.autograd.grad((one_way(f_1, f_2) + one_way(f_2, f_1)).mean(), f_1)
    assert torch.allclose(both, 2 * of_1) and not torch.allclose(both, of_1), "without the stop it is twice that"


def test_symmetric_gradient_is_the_slope_of_one_direction() -> None:
    f_1, f_2 = draw((1, 5), 2), draw((1, 5), 3)
    leaf = f_1.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(equations.symmetric(equations.discrepancy, leaf, f_2), leaf)
    for i in range(5):
        step = torch.zeros_like(f_1)
        step[0, i] = 1e-6
        slope = (equations.discrepancy(f_1 + step, f_2) - equations.discrepancy(f_1 - step, f_2)) / 2e-6
        assert float(gradient[0, i]) == pytest.approx(float(slope), rel=1e-4, abs=1e-7)


def test_equal_students_have_a_finite_discrepancy() -> None:
    for one_way in (equations.discrepancy, equations.discrepancy_one_plus):
        for features in (torch.randn(2, 3000), torch.zeros(2, 4)):  # as float32
            f_1, f_2 = features.clone().requires_grad_(), features.clone().requires_grad_()
            value = equations.symmetric(one_way, f_1, f_2)
            value.backward()
            assert value.isfinite() and f_1.grad.isfinite().all() and f_2.grad.isfinite().all()


# Eq. 4


def test_cross_entropies_by_hand() -> None:
    P = torch.zeros(1, 3, 1, 4, dtype=torch.float64)
    P[0, :, 0, 1] = torch.tensor([math.log(2), 0.0, 0.0])  # softmax 1/2, 1/4, 1/4
    P[0, :, 0, 2] = torch.tensor([math.log(2), 0.0, 0.0])
    P = P.log_softmax(1)
    Y = torch.tensor([[[0, 0, 2, IGNORE]]])
    log2, log3, log4 = math.log(2), math.log(3), math.log(4)
    assert float(equations.cross_entropy(P, Y)) == pytest.approx((log3 + log2 + log4) / 3)
    assert float(equations.balanced_cross_entropy(P, Y)) == pytest.approx((log3 + log2) / 4 + log4 / 2)


@given(
    st.integers(0, 10**6),
    st.sampled_from([[0, 1, 2, IGNORE], [0, 1, 2], [0, IGNORE], [1, 2, IGNORE], [IGNORE], [0], [2]]),
)
def test_cross_entropies_against_loops(seed: int, choices: list[int]) -> None:
    P = draw((2, 3, 3, 4), seed).requires_grad_()
    Y = draw_labels((2, 3, 4), choices, seed)
    losses = pixel_losses(P, Y)
    back = [loss for place, loss in losses.items() if Y[place] == 0]
    front = [loss for place, loss in losses.items() if Y[place] != 0]
    plain, balanced = (loss(P.log_softmax(1), Y) for loss in PIXEL_LOSSES)
    assert plain.item() == pytest.approx(mean(list(losses.values())))
    assert balanced.item() == pytest.approx((mean(back) + mean(front)) / 2)
    for loss in PIXEL_LOSSES:
        value = loss(P.log_softmax(1), Y)
        (gradient,) = torch.autograd.grad(value, P)
        assert gradient.isfinite().all()
        assert not gradient[(Y == IGNORE)[:, None].expand_as(gradient)].any()
        if choices == [IGNORE]:
            assert value.item() == 0 and not gradient.any()


def test_balanced_weighs_background_and_foreground_alike() -> None:
    P = torch.zeros(1, 2, 10, 10)
    P[:, 1] = 3.0
    P = P.log_softmax(1)
    Y = torch.zeros(1, 10, 10, dtype=torch.int64)
    Y[0, 0, 0] = 1
    low, high = math.log(1 + math.exp(-3)), math.log(1 + math.exp(3))
    assert float(equations.balanced_cross_entropy(P, Y)) == pytest.approx((low + high) / 2, rel=1e-5)
    assert float(equations.cross_entropy(P, Y)) == pytest.approx((low + 99 * high) / 100, rel=1e-5)


def test_masked_mean() -> None:
    values, nowhere = torch.arange(6.0), torch.zeros(6, dtype=torch.bool)
    assert float(equations.masked_mean(values, values > 3)) == 4.5
    assert float(equations.masked_mean(values, nowhere)) == 0


def test_a_single_labelled_pixel_is_its_own_mean() -> None:
    P = torch.zeros(1, 2, 1, 3).log_softmax(1)
    for label in (0, 1):
        Y = torch.tensor([[[label, IGNORE, IGNORE]]])
        assert float(equations.cross_entropy(P, Y)) == pytest.approx(math.log(2))
        assert float(equations.balanced_cross_entropy(P, Y)) == pytest.approx(math.log(2) / 2)
    values = torch.arange(6.0)
    assert float(equations.masked_mean(values, values == 5)) == 5


# Eq. 5


def test_tau_h_by_hand() -> None:
    at = {0: 0.7, 5000: 0.7 - 0.075 * (1 - math.sqrt(0.5)), 10_000: 0.625, 20_000: 0.55, 20_001: 0.55, 99_999: 0.55}
    for t, value in at.items():
        assert equations.tau_h(Clock(t, 20_000), 0.7, 0.55) == pytest.approx(value, abs=1e-12)
    assert equations.tau_h(Clock(0, 1), 0.7, 0.55) == 0.7 and equations.tau_h(Clock(1, 1), 0.7, 0.55) == 0.55


@given(st.integers(1, 200), st.floats(0, 1), st.floats(0, 1))
def test_tau_h_goes_one_way_and_stays_between(T: int, start: float, end: float) -> None:
    values = [equations.tau_h(Clock(t, T), start, end) for t in range(T + 3)]
    steps = np.diff(values) * (1 if end >= start else -1)
    assert steps.min() >= -1e-12
    assert min(start, end) - 1e-12 <= min(values) and max(values) <= max(start, end) + 1e-12
    assert [a + b for a, b in zip(values[: T + 1], values[T::-1], strict=True)] == pytest.approx(
        [start + end] * (T + 1)
    )


# Eq. 6-7


@given(
    st.floats(0.05, 0.95), st.floats(0, 2), st.floats(0, 3), st.floats(0.05, 2), st.floats(0.05, 2), st.integers(0, 99)
)
def test_posterior_of_noise_against_scipy(
    w_c: float, mu_c: float, distance: float, sd_c: float, sd_n: float, seed: int
) -> None:
    mu_n = mu_c + distance
    losses = np.random.default_rng(seed).uniform(0, 6, (1, 20))
    clean = w_c * norm.pdf(losses, mu_c, sd_c)
    noisy = (1 - w_c) * norm.pdf(losses, mu_n, sd_n)
    log_odds = equations.noise_log_odds(
        torch.from_numpy(losses),
        torch.tensor([[w_c, 1 - w_c]], dtype=torch.float64),
        torch.tensor([[mu_c, mu_n]], dtype=torch.float64),
        torch.tensor([[sd_c**2, sd_n**2]], dtype=torch.float64),
    )
    seen = clean + noisy > 1e-250  # below, the densities underflow and the log-odds do not
    posterior = noisy / np.maximum(clean + noisy, 1e-300)
    assert torch.sigmoid(log_odds).numpy()[seen] == pytest.approx(posterior[seen], rel=1e-6, abs=1e-9)
    for rho in (0.2, 0.9, 0.95):
        apart = equations.noisy_pixels(log_odds, torch.tensor([[mu_c, mu_n]]), rho, eta=-1.0).numpy()
        sure = seen & (np.abs(posterior - rho) > 1e-9)
        assert np.array_equal(apart[sure], (posterior > rho)[sure])


def test_noise_log_odds_by_hand() -> None:
    """Equal weights and variances: the odds are even halfway, and e^1 one unit further for means 1 apart."""
    half, mean, one = (torch.tensor([[v, w]], dtype=torch.float64) for v, w in ((0.5, 0.5), (0.0, 1.0), (1.0, 1.0)))
    odds = equations.noise_log_odds(torch.tensor([[0.5, 1.5, -0.5]], dtype=torch.float64), half, mean, one)
    assert odds[0].tolist() == pytest.approx([0.0, 1.0, -1.0])
    heavier = torch.tensor([[0.2, 0.8]], dtype=torch.float64)
    assert float(equations.noise_log_odds(odds[:, :1] + 0.5, heavier, mean, one)) == pytest.approx(math.log(4))


def test_noisy_pixels_needs_a_sure_posterior_and_means_apart() -> None:
    def odds(rho: float) -> float:
        return math.log(rho / (1 - rho))

    log_odds = torch.tensor([[odds(0.89), odds(0.91), odds(0.1)]] * 4)
    means = torch.tensor([[0.2, 1.5], [0.2, 1.1], [1.5, 0.2], [0.0, 1.0]])
    answer = equations.noisy_pixels(log_odds, means, gamma=0.9, eta=1.0)
    assert answer.tolist() == [
        [False, True, False],  # 1.3 apart
        [False, False, False],  # 0.9 apart
        [False, False, False],  # the noisy one has the lower mean: not the sense of Eq. 7
        [False, False, False],  # 1.0 apart, and that is not more than eta
    ]


# Eq. 8


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_consistency_against_a_loop(seed: int, share: float) -> None:
    P = draw((2, 3, 3, 4), seed).requires_grad_()
    Y = draw_labels((2, 3, 4), [0, 1, 2, IGNORE], seed)
    M = torch.rand(Y.shape, generator=torch.Generator().manual_seed(seed)) < share
    value = equations.consistency(P, Y, M)
    assert value.item() == pytest.approx(mean([v for place, v in pixel_losses(P, Y).items() if M[place]]))
    (gradient,) = torch.autograd.grad(value, P)
    assert gradient.isfinite().all() and not gradient[~M[:, None].expand_as(gradient)].any()


def test_consistency_by_hand_and_of_nothing() -> None:
    P = torch.zeros(1, 4, 1, 2)
    P[0, 2, 0, 0] = math.log(5)  # softmax 5/8 for class 2
    Y = torch.tensor([[[2, 1]]])
    first = torch.tensor([[[True, False]]])
    assert float(equations.consistency(P, Y, first)) == pytest.approx(math.log(8 / 5))
    assert float(equations.consistency(P, Y, ~first)) == pytest.approx(math.log(4))
    assert float(equations.consistency(P, Y, first | True)) == pytest.approx((math.log(8 / 5) + math.log(4)) / 2)
    assert float(equations.consistency(P, Y, first & False)) == 0


# Eq. 9


def test_total_by_hand() -> None:
    values = dict(L_cls=1.0, L_ptc=2.0, L_dis=3.0, L_seg=4.0, L_reg=5.0)
    terms = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
    answer = equations.total(terms, dict(ptc=0.2, dis=0.1, seg=0.2, reg=0.05))
    assert float(answer["loss"].detach()) == pytest.approx(1 + 0.4 + 0.3 + 0.8 + 0.25)
    assert [name for name in answer if "loss" in name] == ["loss"], "mmengine adds up every key with it"
    assert {name: float(answer[name]) for name in values} == values
    assert not any(answer[name].requires_grad for name in values)
    answer["loss"].backward()
    gradients = [float(terms[name].grad) for name in values]
    assert gradients == pytest.approx([1, 0.2, 0.1, 0.2, 0.05])


def test_total_without_weights_is_l_cls() -> None:
    terms = {f"L_{name}": torch.tensor(1.5) for name in ("cls", "ptc", "dis", "seg", "reg")}
    assert float(equations.total(terms, {})["loss"]) == 1.5
    assert float(equations.total(terms, dict(ptc=0.0, dis=0.0, seg=2.0, reg=0.0))["loss"]) == 4.5
