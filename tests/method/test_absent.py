"""L_abs: the loss by hand, its gradient, and its place in the training step."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from dupl.method.absent import AbsentClasses, NoAbsentClasses, without_absent
from dupl.method.dupl import DuPL
from dupl.method.view import View
from dupl.structures import IGNORE, Clock

P = torch.tensor([0.5, 0.2, 0.3])  # background, class 1, class 2


def pixels(count: int) -> torch.Tensor:
    return P.log()[None, :, None, None].expand(1, 3, 1, count).clone()


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [([1, 0], -math.log(0.7)), ([0, 1], -math.log(0.8)), ([0, 0], -math.log(0.5)), ([1, 1], 0.0)],
)
def test_the_loss_by_hand(tags: list[int], wanted: float) -> None:
    where = torch.tensor([[[True, False, True]]])
    assert float(without_absent(pixels(3), torch.tensor([tags]), where)) == pytest.approx(wanted, abs=1e-6)


def test_no_pixel_costs_nothing() -> None:
    log_P = pixels(2).requires_grad_()
    loss = without_absent(log_P, torch.tensor([[1, 0]]), torch.zeros(1, 1, 2, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0 and log_P.grad is not None and not log_P.grad.any()


def test_only_pixels_of_the_photo_without_a_label_count() -> None:
    """Four pixels: labelled, undecided, undecided, outside the photo. The third is certain of an absent class."""
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, 2, 0, 2] = 9
    log_P = logits.log_softmax(1).requires_grad_()
    y = torch.tensor([[[1, IGNORE, IGNORE, IGNORE]]])
    view = View(torch.zeros(1, 3, 1, 4), torch.tensor([[0, 1, 0, 3]]))
    loss = AbsentClasses()([view, view], [log_P, log_P], [y, y], torch.tensor([[1.0, 0.0]]), Clock(0, 1))
    assert loss is not None
    one = -(math.log(2 / 3) + math.log(2 / (2 + math.exp(9)))) / 2
    assert float(loss.detach()) == pytest.approx(2 * one, rel=1e-5)
    loss.backward()
    assert log_P.grad is not None and log_P.grad.abs().sum(1)[0, 0].gt(0).tolist() == [False, True, True, False]


def test_it_is_off_by_default(build: Callable[..., DuPL]) -> None:
    assert isinstance(build().absent, NoAbsentClasses) and NoAbsentClasses()(1, 2, 3, 4, 5) is None
