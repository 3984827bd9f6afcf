from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dupl.errors import UserError
from dupl.method.boxes import inside
from dupl.method.dupl import DuPL
from dupl.method.own_view import OwnView, SameView
from dupl.method.pixels import denormalise, normalise
from dupl.method.view import View, Warp, WarpedView, shared
from dupl.structures import IGNORE

Build, Batch = Callable[..., DuPL], Callable[..., dict[str, Any]]
STILL: dict[str, Any] = dict(flip=0.0, scale=(1.0, 1.0), jitter=0.0)  # a view of one's own that changes nothing


def warp(*rows: tuple[tuple[float, float], tuple[float, float]]) -> Warp:
    """From (gain, shift) of the rows and of the columns, one pair per image."""
    made = torch.tensor(rows, dtype=torch.float64)  # (B, axis, 2)
    return Warp(made[..., 0], made[..., 1])


def same(*rows: list[Any]) -> Tensor:
    return torch.tensor(rows)


def naive_labels(w: Warp, labels: Tensor) -> Tensor:
    """Pixel by pixel: the label under the source position of each centre."""
    out = torch.full_like(labels, IGNORE)
    for b, y, x in np.ndindex(*labels.shape):
        row = np.floor(w.gain[b, 0].item() * (y + 0.5) + w.shift[b, 0].item())
        column = np.floor(w.gain[b, 1].item() * (x + 0.5) + w.shift[b, 1].item())
        if 0 <= row < labels.shape[1] and 0 <= column < labels.shape[2]:
            out[b, y, x] = labels[b, int(row), int(column)]
    return out


def naive_image(w: Warp, images: Tensor) -> Tensor:
    """Pixel by pixel: bilinear between the four centres around each source position, 0 beyond."""
    out = torch.zeros_like(images)
    height, width = images.shape[-2:]
    for b, y, x in np.ndindex(images.shape[0], height, width):
        v = w.gain[b, 0].item() * (y + 0.5) + w.shift[b, 0].item() - 0.5
        u = w.gain[b, 1].item() * (x + 0.5) + w.shift[b, 1].item() - 0.5
        for row in (int(np.floor(v)), int(np.floor(v)) + 1):
            for column in (int(np.floor(u)), int(np.floor(u)) + 1):
                if 0 <= row < height and 0 <= column < width:
                    out[b, :, y, x] += images[b, :, row, column] * (1 - abs(v - row)) * (1 - abs(u - column))
    return out


def drawn(seeds: range, size: tuple[int, int], **settings: Any) -> Warp:
    view = OwnView(**(dict(flip=0.5, scale=(0.6, 1.7)) | settings))
    return view.draw([np.random.default_rng(seed) for seed in seeds], size, torch.device("cpu"))


# Warps


def test_a_flip_and_a_shift_by_hand() -> None:
    """Position p of the view shows row p - 1 of the source, and columns from right to left."""
    labels = same([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    moved = warp(((1, -1), (-1, 3)))
    assert moved.labels(labels).tolist() == [[[255, 255, 255], [2, 1, 0], [5, 4, 3]]]
    image = torch.arange(9.0).view(1, 1, 3, 3) + 1
    assert torch.allclose(moved.images(image), torch.tensor([[[[0.0, 0, 0], [3, 2, 1], [6, 5, 4]]]]), atol=1e-5)
    assert moved.boxes(same([0, 3, 0, 2]), (3, 3)).tolist() == [[1, 3, 1, 3]]


def test_scales_by_hand() -> None:
    """Twice as large, from the middle; and half as large, in the lower right corner."""
    labels = same([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]])
    large, small = warp(((0.5, 1), (0.5, 1))), warp(((2, -4), (2, -4)))
    assert large.labels(labels).tolist() == [[[5, 5, 6, 6], [5, 5, 6, 6], [9, 9, 10, 10], [9, 9, 10, 10]]]
    # centres 2.5 and 3.5 show 1 and 3: the edges of a pixel belong to the one below or right of it
    assert small.labels(labels).tolist() == [[[255] * 4, [255] * 4, [255, 255, 5, 7], [255, 255, 13, 15]]]
    assert large.boxes(same([0, 2, 2, 4]), (4, 4)).tolist() == [[0, 2, 2, 4]]
    assert small.boxes(same([0, 4, 0, 2]), (4, 4)).tolist() == [[2, 4, 2, 3]]
    assert small.boxes(same([0, 1, 0, 1]), (4, 4)).tolist() == [[0, 0, 0, 0]], "nothing of it is seen"
    # between the centres of pixels 1 and 2 bilinear takes a quarter and three quarters
    image = torch.tensor([0.0, 4, 8, 12]).expand(1, 1, 4, 4)
    assert torch.allclose(large.images(image)[0, 0, 0], torch.tensor([3.0, 5, 7, 9]), atol=1e-5)


def test_a_warp_and_its_inverse_cancel() -> None:
    w = drawn(range(20), (7, 9))
    for both in (w.after(w.inverse()), w.inverse().after(w)):
        assert torch.allclose(both.gain, torch.ones_like(both.gain))
        assert torch.allclose(both.shift, torch.zeros_like(both.shift), atol=1e-12)


def test_after_is_one_view_of_another() -> None:
    """Of a view that only mirrors, pixels are pixels, so that two steps and one are the same."""
    labels = torch.randint(0, 5, (1, 6, 6), generator=torch.Generator().manual_seed(0))
    mirror, other = warp(((1, 0), (-1, 6))), warp(((0.7, 0.4), (-0.7, 5.9)))
    assert torch.equal(mirror.after(other).labels(labels), other.labels(mirror.labels(labels)))
    assert torch.equal(other.after(mirror).labels(labels), mirror.labels(other.labels(labels)))


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(3, 9), st.integers(3, 9))
def test_drawn_warps_against_pixel_by_pixel(seed: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    w = drawn(range(seed, seed + 2), (height, width))
    labels = torch.randint(0, 9, (2, height, width), generator=generator)
    images = torch.rand(2, 3, height, width, generator=generator)
    assert torch.equal(w.labels(labels), naive_labels(w, labels))
    assert torch.allclose(w.images(images), naive_image(w, images), atol=1e-4)
    ends = torch.randint(0, 10, (2, 4), generator=generator)
    boxes = torch.stack([ends[:, :2].amin(1), ends[:, :2].amax(1), ends[:, 2:].amin(1), ends[:, 2:].amax(1)], 1)
    boxes = boxes.minimum(torch.tensor([height, height, width, width]))
    in_box = inside(boxes, (height, width)).long()
    assert torch.equal(inside(w.boxes(boxes, (height, width)), (height, width)), w.labels(in_box) == 1)


def test_views_fill_the_crop_or_lie_in_it() -> None:
    size = (20, 30)
    corners = torch.tensor([[0.0, 0.0], [20.0, 30.0]], dtype=torch.float64)
    for scale, w in ((0.6, drawn(range(40), size, scale=(0.6, 0.6))), (1.7, drawn(range(40), size, scale=(1.7, 1.7)))):
        assert torch.allclose(w.gain.abs(), torch.full_like(w.gain, 1 / scale))
        assert (w.gain[:, 0] > 0).all() and 10 < (w.gain[:, 1] < 0).sum() < 30, "columns are mirrored, rows never"
        ends = torch.stack([(c - i.shift) / i.gain for i in [w] for c in corners]).sort(0).values  # (2, B, 2)
        if scale < 1:
            assert (ends[0] > -1e-9).all() and (ends[1] < corners[1] + 1e-9).all()
        else:
            assert (ends[0] < 1e-9).all() and (ends[1] > corners[1] - 1e-9).all()
        assert ends[0].std(0).min() > 1, "the place is drawn"


# Views


def views_of(part: OwnView, samples: dict[str, Any], students: int = 2) -> list[WarpedView]:
    return part(samples["images"], samples["boxes"], samples["seeds"], students)  # type: ignore[return-value]


def test_the_same_view_is_the_loaders_own(batch: Batch) -> None:
    samples = batch([[0], [1]], boxes=[[0, 32, 0, 28], [3, 29, 0, 32]])
    one, other = SameView()(samples["images"], samples["boxes"], samples["seeds"], 2)
    assert one is other and one.images is samples["images"] and one.boxes is samples["boxes"]
    assert [(s, w) for s, w in shared([one, other])] == [(one, slice(0, 2))]
    labels = torch.zeros(2, 32, 32)
    assert SameView().carry(labels, other, one) is labels


def test_students_that_share_a_sight_are_found() -> None:
    a, b = View(torch.zeros(1), torch.zeros(1)), View(torch.zeros(1), torch.zeros(1))
    assert [who for _, who in shared([a, a, b, a])] == [slice(0, 2), slice(2, 3), slice(3, 4)]
    assert list(shared([])) == []


def test_an_own_view_without_a_change_shows_the_image(batch: Batch) -> None:
    samples = batch([[0], [1]], boxes=[[0, 32, 0, 28], [3, 29, 0, 32]])
    samples["images"] = normalise(denormalise(samples["images"]))
    for sight in views_of(OwnView(**STILL), samples):
        assert torch.allclose(sight.images, samples["images"], atol=1e-5)
        assert torch.equal(sight.boxes, samples["boxes"])


def test_the_same_seed_the_same_view_and_each_student_its_own(batch: Batch) -> None:
    samples, view = batch([[0], [1], [2]]), OwnView()
    first, again = views_of(view, samples), views_of(view, samples)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.boxes, b.boxes)
    assert not torch.equal(first[0].images, first[1].images) and not torch.equal(first[0].warp.gain, first[1].warp.gain)
    alone = {k: samples[k][1:2] for k in ("images", "boxes", "seeds")}
    for a, b in zip(first, views_of(view, alone), strict=True):
        assert torch.equal(a.images[1:2], b.images), "whatever else is in the batch"
    other = views_of(view, samples | dict(seeds=[7, 8, 9]))
    assert not torch.equal(first[0].images, other[0].images)


def test_beyond_the_image_a_view_is_black(batch: Batch) -> None:
    samples = batch([[0], [1]])
    (sight, _) = views_of(OwnView(flip=0, scale=(0.5, 0.5), jitter=0), samples)
    outside = ~inside(sight.boxes, (32, 32))
    assert outside.float().mean() == pytest.approx(0.75, abs=0.05)
    black = normalise(torch.zeros(1, 3, 1, 1))
    far = ~inside(sight.boxes + torch.tensor([-1, 1, -1, 1]), (32, 32))  # bilinear reaches one pixel further
    assert torch.equal(sight.images.permute(0, 2, 3, 1)[far], black.flatten().expand(int(far.sum()), 3))


def test_colours_change_and_geometry_does_not_ask_for_them(batch: Batch) -> None:
    samples = batch([[0], [1]])
    plain, coloured = (views_of(OwnView(jitter=jitter), samples) for jitter in (0.0, 1.0))
    for a, b in zip(plain, coloured, strict=True):
        assert torch.equal(a.warp.gain, b.warp.gain) and torch.equal(a.warp.shift, b.warp.shift)
        assert (denormalise(a.images) - denormalise(b.images)).abs().mean() > 0.02
    assert all(
        torch.equal(a.images, b.images) for a, b in zip(plain, views_of(OwnView(jitter=0), samples), strict=True)
    )


# Labels from view to view


def test_labels_carried_by_hand() -> None:
    """The teacher sees the image mirrored, the pupil one column further left; both see three of its four columns."""
    y = same([[1, 2, 3, 255]] * 4)  # the teacher's view of columns 3, 2, 1 and 0, the last outside its photo
    box = torch.tensor([[0, 4, 0, 4]])
    teacher = WarpedView(torch.zeros(1), box, warp(((1, 0), (-1, 4))))
    pupil = WarpedView(torch.zeros(1), torch.tensor([[0, 3, 0, 3]]), warp(((1, 0), (1, 1))))
    carried = OwnView().carry(y, teacher, pupil)
    assert carried.tolist() == [[[3, 2, 1, 255]] * 3 + [[255] * 4]]


def test_there_and_back_where_pixels_stay_pixels() -> None:
    """With flips and whole shifts nothing is lost but what one of the views does not see."""
    labels = torch.randint(0, 5, (1, 8, 8), generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[0, 8, 0, 8]])
    whole = [
        warp(((1, dy), (sign, dx + (8 if sign < 0 else 0)))) for dy in (-2, 0) for dx in (0, 3) for sign in (1, -1)
    ]
    places = [WarpedView(torch.zeros(1), w.boxes(box, (8, 8)), w) for w in whole]
    for one in places:
        for other in places:
            start = one.warp.labels(labels)
            there = OwnView().carry(start, one, other)
            back = OwnView().carry(there, other, one)
            expected = other.warp.labels(labels)
            seen = there != IGNORE
            assert torch.equal(there[seen], expected[seen]), "what is carried is what the pupil would have seen"
            kept = back != IGNORE
            assert torch.equal(back[kept], start[kept]) and kept.sum() == seen.sum() >= 8


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_drawn_labels_stay_on_their_place(seed: int) -> None:
    """Labels that tell their column and row are off by no more than the sampling allows."""
    side, box = 24, torch.tensor([[2, 24, 0, 20]])
    view = OwnView(scale=(0.75, 1.25))
    image = dict(images=torch.zeros(1, 3, side, side), boxes=box, seeds=[seed])
    teacher, pupil = views_of(view, image)
    for axis in (0, 1):
        place = torch.arange(side).view((1, -1, 1) if axis == 0 else (1, 1, -1)).expand(1, side, side)
        made = teacher.warp.labels(place).masked_fill(~inside(teacher.boxes, (side, side)), IGNORE)
        carried = view.carry(made, teacher, pupil)
        seen = carried != IGNORE
        true = pupil.warp.sources((side, side))[axis] - 0.5
        true = (true[:, :, None] if axis == 0 else true[:, None]).expand(1, side, side)
        assert (carried[seen] - true[seen]).abs().max() <= 0.5 + 0.5 / 0.75 + 1e-6
        assert not seen[~inside(pupil.boxes, (side, side))].any()
        assert seen.sum() >= 0.2 * side * side


# In the training step


def test_own_views_that_change_nothing_change_nothing(build: Build, batch: Batch) -> None:
    for form in ("paper", "released"):
        samples = batch([[0, 2], [1]], 30, boxes=[[0, 32, 0, 28], [3, 29, 0, 32]])
        samples["images"] = normalise(denormalise(samples["images"]))
        plain, own = (
            build(form, own_view=v).loss(**samples) for v in (dict(type="SameView"), dict(type="OwnView", **STILL))
        )
        assert plain.keys() == own.keys()
        for name in plain:
            assert plain[name].item() == pytest.approx(own[name].item(), rel=1e-3, abs=1e-4), name


def test_no_view_is_the_same_view(build: Build, batch: Batch) -> None:
    samples = batch([[0, 2], [1]], 30)
    without, named = build().loss(**samples), build(own_view=dict(type="SameView")).loss(**samples)
    assert all(torch.equal(without[k], named[k]) for k in without)


class Told:
    """Stands for a component and keeps what it was asked."""

    def __init__(self, part: Any, asked: list[Any]) -> None:
        self.part, self.asked = part, asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def __call__(self, *asked: Any) -> Any:
        self.asked += asked
        return self.part(*asked)


def test_a_student_works_on_what_it_sees(build: Build, batch: Batch) -> None:
    """Labels, targets and the strong forward of each student, computed by hand from its view."""
    model = build("paper", own_view=dict(type="OwnView"), perturb=dict(type="StrongPerturbation", ops=0)).eval()
    samples = batch([[0, 2], [1]], 30, boxes=[[0, 32, 0, 28], [3, 29, 0, 32]])
    views = views_of(model.own_view, samples)
    expected = []
    for view in views:
        seen = {k: v for k, v in samples.items() if k != "seeds"} | dict(images=view.images, boxes=view.boxes)
        expected.append(model.inspect(**seen))
    asked: list[Any] = []
    model.consistency = Told(model.consistency, asked)
    model.loss(**samples)
    (found,) = asked
    for i, e in enumerate(found):
        made = expected[i]
        assert torch.allclose(e.log_P, made.log_P[i], atol=1e-5) and torch.equal(e.own, made.labels[i].hard)
        trusted = made.labels[i].y.masked_fill(made.noisy[i], IGNORE)
        assert torch.equal(e.trusted, trusted) and trusted[~inside(views[i].boxes, (32, 32))].eq(IGNORE).all()
        target = model.own_view.carry(trusted, views[i], views[1 - i])
        assert torch.equal(found[1 - i].target, target) and not torch.equal(target, trusted)
        assert e.strong_logits.shape == made.log_P[i].shape


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("off", [(), ("L_dis",), ("ANF", "L_reg"), ("L_dis", "DTA", "ANF", "L_reg")])
def test_a_step_with_own_views(form: str, off: tuple[str, ...], build: Build, batch: Batch) -> None:
    model = build(form, off, own_view=dict(type="OwnView"))
    for t in (5, 15, 30):
        model.zero_grad()
        samples = batch([[0, 2], [1]], t, boxes=[[0, 32, 0, 28], [3, 29, 0, 32]])
        losses = model.loss(**samples)
        losses["loss"].backward()
        assert all(v.isfinite() for v in losses.values())
        assert (losses["L_seg"] > 0) == (t > 5)
        again = model.loss(**samples)
        assert all(torch.equal(losses[k], again[k]) for k in losses), "a step draws nothing but from its seeds"
        if t > 5:
            shares = [losses[f"pixels/{k}"] for k in ("supervised", "filtered", "undecided")]
            assert float(sum(shares)) == pytest.approx(1, abs=1e-5) and min(map(float, shares)) >= 0
    other = model.loss(**(samples | dict(seeds=[7, 8])))
    assert not torch.equal(other["L_cls"], losses["L_cls"])


def test_own_views_need_two_students(build: Build) -> None:
    with pytest.raises(UserError, match=r"Diff. Aug without DS.*set model.own_view.type=SameView"):
        build(off=("DS", "L_dis"), own_view=dict(type="OwnView"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (dict(scale=[1.2, 0.8]), "own_view.scale"),
        (dict(scale=[0.0, 1.0]), "own_view.scale"),
        (dict(flip=1.5), "own_view.flip is 1.5"),
        (dict(hue=0.7), r"own_view.hue is 0.7: it lies in \[0, 0.5\]"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        OwnView(**wrong)
