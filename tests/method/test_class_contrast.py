"""The class token contrast: its loss by hand, where crops are cut, the projector and its moving average."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dupl.errors import UserError
from dupl.method.class_contrast import ClassTokenContrast, ClassTokens, NoClassContrast, contrast
from dupl.method.ema import follow, frozen
from dupl.method.local_crops import choose_crops, cut, regions
from dupl.method.projector import Projector
from dupl.method.students import DualStudent, SingleStudent
from dupl.structures import Clock

SMALL = dict(hidden=8, bottleneck=4, out=6)


# The loss


def by_hand(student: list, teacher: list, flags: list[int], tau: float, extra: bool, divisor: str) -> float:
    """L_ctc of one image, term by term, with plain floats."""
    e, value = 1e-4, 0.0
    for t in teacher:
        s = [math.exp(sum(a * b for a, b in zip(t, v, strict=True)) / tau) for v in student]
        N = sum(x for x, flag in zip(s, flags, strict=True) if flag == 0)
        terms = [-math.log(x / (x + N + e)) for x, flag in zip(s, flags, strict=True) if flag == 1]
        terms += [-math.log(1 / (1 + N + e))] * extra
        value += sum(terms) / 2 / (flags.count(1) + e + (extra and divisor == "terms"))
    return value


@pytest.mark.parametrize("divisor", ["positives", "terms"])
@pytest.mark.parametrize("extra", [True, False])
@pytest.mark.parametrize("flags", [[1, 1, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, -1, 0]])
def test_the_loss_by_hand(flags: list[int], extra: bool, divisor: Any) -> None:
    student = [[0.5, -1.0], [2.0, 0.3], [-0.7, 0.1], [1.0, 1.0]]
    teacher = [[1.0, 0.2], [-0.4, 0.8]]
    tokens = [torch.tensor([part], dtype=torch.float64) for part in (student, teacher)]
    found = contrast(*tokens, torch.tensor([flags]), 0.5, extra, divisor)
    assert float(found) == pytest.approx(by_hand(student, teacher, flags, 0.5, extra, divisor), rel=1e-5)


def test_one_positive_and_one_negative_by_numbers() -> None:
    """<t, s> is 1 for the positive and -1 for the negative, tau 1: -log(e / (e + 1 / e)) = log(1 + e^-2)."""
    token = torch.tensor([[[1.0], [1.0], [-1.0]]])
    found = contrast(token, torch.ones(1, 2, 1), torch.tensor([[1, 1, 0]]), 1.0, False, "terms")
    assert float(found) == pytest.approx(math.log(1 + math.exp(-2)), abs=2e-4)


def test_the_loss_is_the_mean_over_images_and_finite_for_large_similarities() -> None:
    student, teacher = torch.randn(2, 4, 3), torch.randn(2, 2, 3)
    flags = torch.tensor([[1, 1, 0, 1], [1, 1, 0, 0]])
    both = contrast(student, teacher, flags, 0.5, True, "positives")
    alone = [contrast(student[i : i + 1], teacher[i : i + 1], flags[i : i + 1], 0.5, True, "positives") for i in (0, 1)]
    assert torch.allclose(both, torch.stack(alone).mean())
    huge = (student * 1e3).requires_grad_()
    value = contrast(huge, teacher * 1e3, flags, 0.5, True, "positives")
    value.backward()
    assert value.isfinite() and huge.grad is not None and huge.grad.isfinite().all()


# Places to cut


def test_regions() -> None:
    aux = torch.tensor([[[[0.1, 0.25, 0.26, 0.69, 0.7, 0.9]], [[0.0, 0.1, 0.0, 0.0, 0.0, 0.0]]]])
    assert regions(aux, 0.25, torch.tensor([0.7])).tolist() == [[[0, 0, 1, 1, 2, 2]]]


def whole(size: int = 20) -> Tensor:
    return torch.tensor([[0, size, 0, size]])


def corners(region: Tensor, boxes: Tensor, **changes: Any) -> Tensor:
    options: dict[str, Any] = dict(count=4, side=6, padding="background", draws=[(7, 3, 0)]) | changes
    return choose_crops(region, boxes, **options)


def test_crops_are_cut_around_pixels_that_are_not_foreground() -> None:
    region = torch.full((1, 20, 20), 2)
    region[0, 5:8, 9:11] = torch.tensor([0, 1])
    for seed in range(20):
        places = corners(region, whole(), draws=[(seed, 3, 0)])[0] + 3
        assert all(region[0, y, x] <= 1 for y, x in places.tolist())
        assert len({(y, x) for y, x in places.tolist()}) == 4, "without repetition"
    assert torch.equal(corners(region, whole()), corners(region, whole())), "the same for the same seed"
    assert not torch.equal(corners(region, whole()), corners(region, whole(), draws=[(8, 3, 0)]))


def test_any_place_where_too_few_are_left() -> None:
    region = torch.full((1, 20, 20), 2)
    region[0, 5, 9:12] = 0  # three places for four crops
    seen = torch.cat([corners(region, whole(), draws=[(seed, 3, 0)])[0] for seed in range(40)])
    assert seen.amin() >= 0 and seen.amax() == 13, "the last corner of the released code"
    assert len({tuple(place) for place in seen.tolist()}) > 80, "drawn among all of them"


@pytest.mark.parametrize("box", [[4, 20, 6, 18], [0, 12, 3, 15]])
def test_crops_without_padding(box: list[int]) -> None:
    for seed in range(20):
        for y, x in corners(torch.zeros(1, 20, 20).long(), torch.tensor([box]), padding="excluded", draws=[(seed,)])[0]:
            assert box[0] <= y and y + 6 <= box[1] and box[2] <= x and x + 6 <= box[3]


def test_a_photo_smaller_than_a_crop_takes_any_place() -> None:
    places = corners(torch.zeros(1, 20, 20).long(), torch.tensor([[0, 5, 0, 5]]), padding="excluded")
    assert places.shape == (1, 4, 2)


@pytest.mark.parametrize("side", [20, 24, 19])
def test_fewer_places_than_crops_are_refused(side: int) -> None:
    with pytest.raises(UserError, match=r"^model.class_contrast cuts 4 crops of \d+ px.*give a smaller"):
        corners(torch.zeros(1, 20, 20).long(), whole(), side=side)


def test_cut() -> None:
    images = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
    places = torch.tensor([[[0, 0], [2, 4]], [[5, 1], [3, 3]]])
    found = cut(images, places, 3)
    assert found.shape == (2, 2, 3, 3, 3)
    for b in range(2):
        for n, (y, x) in enumerate(places[b].tolist()):
            assert torch.equal(found[b, n], images[b, :, y : y + 3, x : x + 3])


# The projector and its moving average


def test_projector() -> None:
    torch.manual_seed(0)
    projector = Projector(5, **SMALL)
    tokens = torch.randn(2, 3, 5)
    hidden = F.gelu(F.linear(tokens, projector.mlp[0].weight, projector.mlp[0].bias))
    hidden = F.gelu(F.linear(hidden, projector.mlp[2].weight, projector.mlp[2].bias))
    narrow = F.linear(hidden, projector.mlp[4].weight, projector.mlp[4].bias)
    unit = narrow / narrow.norm(dim=-1, keepdim=True)
    rows = projector.vectors.weight / projector.vectors.weight.norm(dim=1, keepdim=True)
    assert torch.allclose(projector(tokens), unit @ rows.T, atol=1e-6)
    assert not projector.mlp[0].bias.any() and projector.mlp[0].weight.abs().max() < 0.1
    assert projector(tokens.bfloat16()).dtype == torch.float32


def test_a_moving_average() -> None:
    network, average = nn.Linear(2, 1), frozen(nn.Linear(2, 1))
    nn.init.constant_(network.weight, 1.0)
    nn.init.constant_(average.weight, 3.0)
    follow(average, network, 0.75)
    assert average.weight.tolist() == [[2.5, 2.5]] and not average.weight.requires_grad
    follow(average, network, 0.0)
    assert torch.equal(average.bias, network.bias)


# The component


def bound(network: dict[str, Any], kind: Any = SingleStudent, **options: Any) -> ClassTokenContrast:
    torch.manual_seed(0)
    part = ClassTokenContrast(**(dict(crop_size=8, crops=3, projector=SMALL) | options))
    part.bind(kind(network=network, num_classes=4))
    return part


def test_teachers_start_as_copies_and_follow(network: dict[str, Any]) -> None:
    part = bound(network, DualStudent)
    assert len(part.projectors) == len(part.teachers) == 2
    for projector, teacher in zip(part.projectors, part.teachers, strict=True):
        assert all(torch.equal(p, t) for p, t in zip(projector.parameters(), teacher.parameters(), strict=True))
    trained = [name for name, p in part.named_parameters() if p.requires_grad]
    assert trained and all(name.startswith("projectors.") for name in trained)
    before = part.teachers[0].mlp[0].weight.clone()
    with torch.no_grad():
        part.projectors[0].mlp[0].weight += 1
    part.after_step()
    assert torch.allclose(part.teachers[0].mlp[0].weight, before + 0.1, atol=1e-6)


def test_gradients_reach_the_tokens_through_the_student_only(network: dict[str, Any]) -> None:
    part = bound(network)
    tokens = torch.randn(2, 5, 32, requires_grad=True)
    flags = torch.tensor([[1, 1, 0, 1, 0], [1, 1, 0, 0, 0]])
    part([ClassTokens(tokens, flags)]).backward()
    assert tokens.grad is not None and tokens.grad.any()
    assert all(p.grad is not None for p in part.projectors.parameters())
    assert all(p.grad is None for p in part.teachers.parameters())
    both = bound(network, DualStudent)
    seen = [ClassTokens(tokens, flags)] * 2
    alone = [
        contrast(p(tokens), t(tokens[:, :2]), flags, 0.5, False, "terms").item()
        for p, t in zip(both.projectors, both.teachers, strict=True)
    ]
    assert both(seen).item() == pytest.approx(sum(alone))


def test_switched_off_or_not_yet_begun(network: dict[str, Any]) -> None:
    assert NoClassContrast()(None) is None and not NoClassContrast().active(Clock(5, 10))
    part = bound(network, start=3)
    assert float(part(None)) == 0 and not part.active(Clock(2, 10)) and part.active(Clock(3, 10))


def test_what_is_refused(network: dict[str, Any]) -> None:
    without = dict(network, backbone=dict(network["backbone"]))
    without["backbone"]["options"] = dict(network["backbone"]["options"], class_token=False, global_pool="avg")
    with pytest.raises(UserError, match="^model.class_contrast needs a class token.*NoClassContrast$"):
        bound(without)
    with pytest.raises(UserError, match="^model.class_contrast.crop_size is 12.*8 px: give a multiple$"):
        bound(network, crop_size=12)
    for name in ("padding", "divisor"):
        with pytest.raises(ValueError, match=f"^class_contrast.{name} is 'x': choose"):
            ClassTokenContrast(**{name: "x"})
