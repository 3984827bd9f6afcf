"""The affinity of AFA: targets, loss, walk and labels against hand-computed cases and naive references."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dupl.errors import UserError
from dupl.method import random_walk
from dupl.method.affinity import AffinityFromAttention
from dupl.method.attention import Attention
from dupl.method.cam import Maps, PatchAffinity, Present
from dupl.method.propagation import propagated_labels
from dupl.method.refine import NoRefinement, PixelAdaptiveRefinement
from dupl.structures import IGNORE, Clock


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_window_is_a_square_of_rows_and_columns() -> None:
    near = random_walk.window(3, 4, 1)
    assert near.shape == (12, 12) and near.diagonal().all() and torch.equal(near, near.T)
    assert near[0].nonzero()[:, 0].tolist() == [0, 1, 4, 5]  # the corner: itself, right, below, below right
    assert near[5].sum() == 9 and near[5, 10] and not near[5, 7] and not near[3, 4], "rows do not wrap"


def test_pairs_of_patches_by_hand() -> None:
    """Four patches in a row: background, class 2, none, class 2; radius 2."""
    y = torch.tensor([[[0, 2, IGNORE, 2]]])
    alike, unlike = random_walk.pairs(y, random_walk.window(1, 4, 2))
    assert alike[0].int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 1]]
    assert unlike[0].int().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_the_loss_by_hand() -> None:
    y = torch.tensor([[[0, 2]]])
    S = torch.tensor([[[0.9, 0.3], [0.4, 0.6]]], requires_grad=True)
    near = random_walk.window(1, 2, 8)
    found = random_walk.affinity_loss(S, y, near, extra=0.0)
    assert float(found.detach()) == pytest.approx(0.5 * (0.1 + 0.4) / 2 + 0.5 * (0.3 + 0.4) / 2)
    released = random_walk.affinity_loss(S, y, near, extra=1.0)
    assert float(released.detach()) == pytest.approx(0.5 * 0.5 / 3 + 0.5 * 0.7 / 3)
    found.backward()
    assert torch.equal(S.grad, torch.tensor([[[-0.25, 0.25], [0.25, -0.25]]]))


@pytest.mark.parametrize("labels", [[[IGNORE, IGNORE]], [[1, 1]], [[IGNORE, 0]]])
def test_a_missing_kind_of_pairs_counts_nothing(labels: list[list[int]]) -> None:
    S = draw(1, 2, 2)
    found = random_walk.affinity_loss(S, torch.tensor([labels]), random_walk.window(1, 2, 8), 0.0)
    pairs = {IGNORE: [], 1: [S[0, i, j] for i in range(2) for j in range(2)], 0: [S[0, 1, 1]]}[labels[0][1]]
    assert found.isfinite() and float(found) == pytest.approx(sum(0.5 * (1 - float(s)) / len(pairs) for s in pairs))


def test_the_label_of_a_patch_is_that_of_its_first_pixel_or_its_centre() -> None:
    labels = torch.full((1, 4, 8), 7)
    labels[0, 0, 0], labels[0, 2, 2], labels[0, 0, 4] = 1, 2, IGNORE
    assert random_walk.patch_labels(labels, (1, 2), centres=False).tolist() == [[[1, IGNORE]]]
    assert random_walk.patch_labels(labels, (1, 2), centres=True).tolist() == [[[2, 7]]]


def test_the_transition_by_hand() -> None:
    S = torch.tensor([[[0.5, 0.2, 0.9], [0.4, 1.0, 0.3], [0.9, 0.1, 0.5]]])
    T = random_walk.transition(S, random_walk.window(1, 3, 1), power=2.0, smoothing=0.1)[0]
    first = 0.25 + 0.16 + 0.1  # of the first column, whose third entry lies outside the window
    assert T[:, 0].tolist() == pytest.approx([0.25 / first, 0.16 / first, 0.0])
    assert T[:, 1].tolist() == pytest.approx([0.04 / 1.15, 1.0 / 1.15, 0.01 / 1.15])
    maps = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    walked = random_walk.walk(maps, T[None])[0, 0, 0]
    assert walked[0] == pytest.approx((1 * 0.25 + 2 * 0.16) / first)
    assert torch.allclose(random_walk.walk(maps, T[None], 2)[0, 0, 0], walked @ T)


def test_affinity_is_a_weighted_sum_of_attention_both_ways() -> None:
    attention = Attention(draw(2, 3, 5, 4), draw(2, 3, 5, 4, seed=1))
    weight = torch.tensor([0.5, -1.0, 2.0])
    A = attention.logits()
    wanted = F.conv2d(A + A.transpose(2, 3), weight.view(1, 3, 1, 1))[:, 0]
    assert torch.allclose(attention.combined(weight), wanted, atol=1e-5)
    assert A[1, 2, 3, 4] == pytest.approx(float(attention.queries[1, 2, 3] @ attention.keys[1, 2, 4]), rel=1e-5)


def naive_labels(
    maps: Tensor, S: Tensor, grid: tuple[int, int], present: Present, tau: tuple[float, float], size: int
) -> Tensor:
    """Labels without refinement of images whose photo fills them, class by class with the background as a class."""
    T = random_walk.transition(S, random_walk.window(*grid, 1), 2.0, 0.1)
    labels = []
    for i, own in enumerate(maps):
        slots = present.valid[i].nonzero()[:, 0]
        small = F.interpolate(own[None, slots], size=grid, mode="bilinear")
        winners = []
        for threshold in tau:
            scores = torch.cat([torch.full((1, 1, *grid), threshold), small], 1).softmax(1)
            walked = (scores[0].flatten(1) @ T[i]).view(1, -1, *grid)
            enlarged = F.interpolate(walked, size=(size, size), mode="bilinear")
            classes = torch.cat([torch.zeros(1, dtype=torch.long), present.index[i, slots] + 1])
            winners.append(classes[enlarged.argmax(1)[0]])
        low, high = winners
        labels.append(torch.where(high > 0, high, torch.where(low > 0, IGNORE, 0)))
    return torch.stack(labels)


def test_labels_of_propagated_cams_equal_a_naive_reference() -> None:
    present = Present.of(torch.tensor([[1.0, 0, 1], [0, 1, 0]]))
    coarse, S = draw(2, 2, 4, 4) > 0.6, 0.3 * draw(2, 16, 16, seed=2) + 0.7 * torch.eye(16)
    maps = F.interpolate(coarse.float(), size=(16, 16), mode="bilinear")
    whole = torch.tensor([[0, 16, 0, 16]] * 2)
    cams = Maps(maps, maps, PatchAffinity(S, (4, 4)))
    part = AffinityFromAttention(radius=1)
    found = part.spread(NoRefinement(), draw(2, 3, 16, 16), cams, present, whole, (0.3, torch.tensor([0.6, 0.6])))
    wanted = naive_labels(maps, S, (4, 4), present, (0.3, 0.6), 16)
    assert torch.equal(found.y, wanted) and len(wanted.unique()) > 3
    assert torch.allclose(found.soft.sum(1), torch.ones(2, 16, 16), atol=1e-5)


def test_the_photo_alone_is_refined_inside_its_box() -> None:
    """Padding of any colour changes nothing inside the photo, unlike where the whole crop is refined."""
    refine = PixelAdaptiveRefinement(dilations=[1, 2], iterations=2)
    present, maps = Present.of(torch.tensor([[1.0, 1, 0]])), draw(1, 2, 16, 16)
    box, tau = torch.tensor([[2, 14, 0, 11]]), (0.3, torch.tensor([0.6]))
    black, white = draw(1, 3, 16, 16), draw(1, 3, 16, 16)
    for image, level in ((black, 0.0), (white, 1.0)):
        image[..., 11:], image[..., :2, :], image[..., 14:, :] = level, level, level

    def make(image: Tensor, photo_only: bool) -> Any:
        return propagated_labels(refine, image, maps, (4, 4), lambda x: x, present, box, tau, photo_only)

    assert torch.equal(make(black, True).soft, make(white, True).soft)
    assert not torch.equal(make(black, False).soft, make(white, False).soft)
    assert (make(black, True).y[0, :, 11:] == IGNORE).all() and (make(black, True).hard[0, 2:14, :11] != IGNORE).all()


def test_a_photo_of_one_pixel_has_no_score() -> None:
    refine, present = PixelAdaptiveRefinement(dilations=[1]), Present.of(torch.tensor([[1.0]]))
    box = torch.tensor([[3, 4, 3, 4]])
    tau = (0.3, torch.tensor([0.6]))
    made = propagated_labels(
        refine, draw(1, 3, 8, 8), draw(1, 1, 8, 8), (2, 2), lambda x: x, present, box, tau, photo_only=True
    )
    assert made.soft.isfinite().all() and (made.y != IGNORE).sum() == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(targets="crf"), 'model.affinity.targets is \'crf\': choose "cams" or "spread"'),
        (dict(patch_pixel="last"), "model.affinity.patch_pixel"),
        (dict(refine_in="image"), "model.affinity.refine_in"),
        (dict(radius=0), "model.affinity.radius is 0: it must be at least 1"),
        (dict(steps=0), "model.affinity.steps is 0"),
        (dict(smoothing=0.0), "both must be positive"),
        (dict(targets="spread", spread_from=None), "spread_from is None: give an iteration"),
    ],
)
def test_bad_values_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        AffinityFromAttention(**arguments)


def test_it_spreads_from_its_iteration_on() -> None:
    part, never = AffinityFromAttention(spread_from=5), AffinityFromAttention(spread_from=None)
    assert [part.spreads(Clock(t, 10)) for t in (4, 5)] == [False, True] and not never.spreads(Clock(9, 10))
    assert part.reader(0, Clock(4, 10)) is None
