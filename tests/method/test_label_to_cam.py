"""L_l2c: targets and loss by hand, its gradients, and its place in the training step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from dupl.method.dupl import DuPL
from dupl.method.label_to_cam import LabelToCam, NoLabelToCam, shares, soft_margin
from dupl.method.students import DualStudent
from dupl.structures import IGNORE, Clock


def test_shares_are_of_the_labelled_pixels_of_a_patch() -> None:
    """Patches of 2 x 2 pixels: three labelled ones of which one is class 2; none; all background; all class 1."""
    y = torch.tensor([[[2, 0, 255, 255], [0, 255, 255, 255], [0, 0, 1, 1], [0, 0, 1, 1]]])
    share, weight = shares(y, 2, (2, 2))
    assert weight[0, 0].tolist() == [[0.75, 0.0], [1.0, 1.0]]
    assert share[0, 1].flatten().tolist() == pytest.approx([1 / 3, 0, 0, 0])
    assert share[0, 0].tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_the_loss_by_hand() -> None:
    """Two patches, one class: evidence ln 3 with target 1 and weight 1, evidence 0 with target 1/2 and weight 1/2."""
    evidence = torch.tensor([[[[math.log(3), 0.0]]]])
    share, weight = torch.tensor([[[[1.0, 0.5]]]]), torch.tensor([[[[1.0, 0.5]]]])
    wanted = (math.log(4 / 3) + 0.5 * math.log(2)) / 1.5
    assert float(soft_margin(evidence, share, weight)) == pytest.approx(wanted)


def test_labels_of_no_pixel_cost_nothing() -> None:
    evidence = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = soft_margin(evidence, *shares(torch.full((2, 8, 8), IGNORE), 3, (4, 4)))
    loss.backward()
    assert float(loss.detach()) == 0 and evidence.grad is not None and not evidence.grad.any()


def test_a_step_moves_the_evidence_to_the_labels(network: dict[str, Any]) -> None:
    """The evidence of class 1 rises in its quarter of the photo and falls elsewhere, in both students."""
    torch.manual_seed(0)
    students = DualStudent(network, num_classes=4)
    images = torch.randn(1, 3, 32, 32)
    y = torch.zeros(1, 32, 32, dtype=torch.int64)
    y[:, :16, :16] = 1
    optimizer = torch.optim.SGD(students.parameters(), lr=0.5)

    def margin() -> list[float]:
        with torch.no_grad():
            maps = [net.class_evidence(o.features, o.aux_features)[0][0, 0] for net, o in pairs()]
        return [float(m[:2, :2].mean() - (m.sum() - m[:2, :2].sum()) / 12) for m in maps]

    def pairs() -> list[tuple[Any, Any]]:
        return list(zip(students, students(images), strict=True))

    before = margin()
    loss = LabelToCam()(students, students(images), [y, y], Clock(0, 1))
    assert loss is not None
    loss.backward()
    optimizer.step()
    assert all(after > first for first, after in zip(before, margin(), strict=True))


def test_it_is_off_by_default(build: Callable[..., DuPL]) -> None:
    assert isinstance(build().label_to_cam, NoLabelToCam) and NoLabelToCam()(1, 2, 3, 4) is None
