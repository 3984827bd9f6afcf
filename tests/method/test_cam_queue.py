"""Thresholds from recent CAMs: the limits of three known groups, averages, a ring of images, and poor queues."""

from __future__ import annotations

import pytest
import torch

from dupl.method.cam_queue import NoQueue, QueueMixture, Thresholds
from dupl.structures import Clock

FIXED = [Thresholds(0.25, torch.full((2,), 0.7)), Thresholds(0.2, torch.full((2,), 0.6))]
NOW = Clock(0, 10)


def groups(low: float, middle: float, high: float) -> torch.Tensor:
    """CAMs (2, 1, 3, 3) whose rows lie around three values."""
    rows = torch.tensor([low, middle, high])[:, None] + torch.tensor([-0.01, 0.0, 0.01])
    return rows.expand(2, 1, 3, 3).clone()


def step(queue: QueueMixture, *losses: list[torch.Tensor]) -> list[Thresholds]:
    """The thresholds after a step of some losses."""
    for maps in losses:
        queue(maps, FIXED, NOW)
    queue.after_step()
    return queue.current(FIXED)


def test_the_limits_of_three_groups() -> None:
    """Background ends at 0.21, foreground begins at 0.79; the averages move from the fixed thresholds towards them."""
    queue = QueueMixture(images=4, side=3, momentum=0.5)
    maps = [groups(0.2, 0.5, 0.8), groups(0.3, 0.6, 0.9)]
    assert queue(maps, FIXED, NOW) == FIXED, "a step uses the thresholds that the one before left"
    main, aux = step(queue)
    assert main.low == pytest.approx(0.5 * 0.25 + 0.5 * 0.21) and main.high.tolist() == pytest.approx([0.745] * 2)
    assert aux.low == pytest.approx(0.5 * 0.2 + 0.5 * 0.31) and aux.high.tolist() == pytest.approx([0.745] * 2)
    assert queue(maps, FIXED, NOW)[0].low == main.low


def test_values_at_most_the_least_do_not_count() -> None:
    maps = groups(0.2, 0.5, 0.8)
    maps[1] = 0.04
    queue = QueueMixture(images=4, side=3, momentum=0.0)
    assert step(queue, [maps, maps])[0].low == pytest.approx(0.21)


def test_the_oldest_images_leave_the_queue() -> None:
    queue = QueueMixture(images=4, side=3, momentum=0.0)
    for maps in (groups(0.2, 0.5, 0.8), groups(0.2, 0.5, 0.8), groups(0.3, 0.6, 0.9), groups(0.3, 0.6, 0.9)):
        main, _ = step(queue, [maps, maps])
    assert main.low == pytest.approx(0.31) and main.high.tolist() == pytest.approx([0.89] * 2)


def test_a_map_without_spread_keeps_the_fixed_thresholds() -> None:
    queue = QueueMixture(images=4, side=3)
    flat = torch.zeros(2, 1, 3, 3)
    assert [found.low for found in step(queue, [flat, flat])] == [0.25, 0.2]


def test_two_losses_of_a_step_are_one_of_all_their_images() -> None:
    one, two = (QueueMixture(images=8, side=3, momentum=0.5) for _ in range(2))
    first, second = groups(0.2, 0.5, 0.8), groups(0.3, 0.6, 0.9)
    both = torch.cat([first, second])
    for _ in range(2):
        whole, parts = step(one, [both, both]), step(two, [first, first], [second, second])
        assert [found.low for found in whole] == [found.low for found in parts]
    assert all(torch.equal(mine, other) for mine, other in zip(one.buffers(), two.buffers(), strict=True))


def test_averages_start_from_the_mean_threshold_of_all_images_of_the_step() -> None:
    """High thresholds of 0.9, 0.9 and 0.6, 0.6: the average starts at 0.75, whatever loss comes last."""
    queue, flat = QueueMixture(images=8, side=3), [torch.zeros(2, 1, 3, 3)] * 2
    for high in (0.9, 0.6):
        queue(flat, [Thresholds(0.25, torch.full((2,), high)), Thresholds(0.2, torch.full((2,), high))], NOW)
    queue.after_step()
    assert [found.high.tolist() for found in queue.current(FIXED)] == [pytest.approx([0.75] * 2)] * 2
    assert [found.low for found in queue.current(FIXED)] == [0.25, 0.2]


def test_before_its_start_and_switched_off_nothing_changes() -> None:
    maps = [groups(0.2, 0.5, 0.8)] * 2
    late = QueueMixture(start=5, images=4, side=3)
    assert late(maps, FIXED, Clock(4, 10)) == FIXED and not late.filled
    assert late(None, FIXED, Clock(5, 10)) == FIXED
    late.after_step()
    assert not late.filled
    assert NoQueue()(maps, FIXED, NOW) == FIXED and NoQueue().current(FIXED) == FIXED


def test_the_queue_travels_with_the_weights() -> None:
    queue, other = QueueMixture(images=4, side=3), QueueMixture(images=4, side=3)
    maps = [groups(0.2, 0.5, 0.8)] * 2
    step(queue, maps)
    other.load_state_dict(queue.state_dict())
    again, expected = step(other, maps), step(queue, maps)
    assert [a.low for a in again] == [e.low for e in expected]


def test_the_released_queue_starts_with_uniform_values() -> None:
    torch.manual_seed(0)
    assert 0.3 < float(QueueMixture(images=9, side=9, fill="uniform").values.mean()) < 0.7
    assert not QueueMixture(images=9, side=9).values.any()


@pytest.mark.parametrize("wrong", [dict(least=2.0), dict(momentum=-0.1), dict(fill="ones")])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="cam_queue has"):
        QueueMixture(**wrong)  # type: ignore[arg-type]
