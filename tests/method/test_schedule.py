"""The released learning rate schedule (dupl.engine.training.optimizer) against its published values."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.optim import OptimWrapper

from dupl.engine.training.optimizer import WarmupPoly, rate_factor

VOC = dict(T=20_000, warmup=1500, warmup_ratio=1e-6, power=0.9)
# "Iter: n; LR: ..." of the published VOC log, whose line n is printed after the step of iteration n - 1.
PUBLISHED = {
    200: "7.960e-06",
    400: "1.596e-05",
    1400: "5.596e-05",
    1600: "5.566e-05",
    1800: "5.512e-05",
    2000: "5.457e-05",
    3000: "5.184e-05",
    19600: "1.779e-06",
    19800: "9.552e-07",
    20000: "8.077e-09",
}


@pytest.mark.parametrize("line", PUBLISHED)
def test_published_rates(line: int) -> None:
    assert f"{6e-5 * rate_factor(line - 1, **VOC):.3e}" == PUBLISHED[line]


def test_start_and_end() -> None:
    assert rate_factor(0, **VOC) == pytest.approx(1e-6, rel=1e-9)
    assert rate_factor(750, **VOC) == pytest.approx(0.5, rel=1e-5)
    assert 6e-5 * rate_factor(1600, **VOC) == pytest.approx(5.566e-5, abs=5e-9)
    assert rate_factor(20_000, **VOC) == rate_factor(20_001, **VOC) == 0
    assert rate_factor(0, T=10, warmup=0, warmup_ratio=1e-6, power=0.9) == 1


@given(st.integers(1, 300), st.integers(0, 300), st.floats(0, 1), st.floats(0.1, 3))
def test_linear_then_a_decay_that_the_warm_up_does_not_shift(T: int, warmup: int, ratio: float, power: float) -> None:
    factors = [rate_factor(t, T, warmup, ratio, power) for t in range(T + 1)]
    assert min(factors) >= 0 and max(factors) <= 1
    for t, factor in enumerate(factors):
        expected = ratio + (1 - ratio) * t / warmup if t < warmup else (1 - t / T) ** power
        assert factor == pytest.approx(expected, abs=1e-12)


SHORT = dict(T=30, warmup=10, warmup_ratio=1e-3, power=0.9)


def make() -> tuple[OptimWrapper, WarmupPoly]:
    groups = [dict(params=[torch.zeros(1, requires_grad=True)], lr=lr) for lr in (6e-5, 6e-4)]
    wrapper = OptimWrapper(torch.optim.AdamW(groups))
    return wrapper, WarmupPoly(wrapper, **SHORT)


def steps(wrapper: OptimWrapper, scheduler: WarmupPoly, count: int) -> list[list[float]]:
    """The rates with which each of ``count`` steps is made."""
    rates = []
    for _ in range(count):
        rates.append([group["lr"] for group in wrapper.optimizer.param_groups])
        wrapper.update_params(sum(group["params"][0].sum() for group in wrapper.optimizer.param_groups))
        scheduler.step()
    return rates


def test_the_scheduler_gives_every_group_its_rate_in_every_iteration() -> None:
    expected = [[base * rate_factor(t, **SHORT) for base in (6e-5, 6e-4)] for t in range(30)]
    wrapper, scheduler = make()
    assert steps(wrapper, scheduler, 30) == [pytest.approx(rates, rel=1e-12, abs=0) for rates in expected]
    assert [group["lr"] for group in wrapper.optimizer.param_groups] == [0, 0]


@pytest.mark.parametrize("stop", [0, 1, 9, 10, 11, 29])
def test_the_scheduler_goes_on_where_its_state_was_saved(stop: int) -> None:
    whole = steps(*make(), 30)
    wrapper, scheduler = make()
    first = steps(wrapper, scheduler, stop)
    later_wrapper, later = make()
    later_wrapper.load_state_dict(wrapper.state_dict())
    later.load_state_dict(scheduler.state_dict())
    assert first + steps(later_wrapper, later, 30 - stop) == whole
