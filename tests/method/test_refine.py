from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dupl.method.boxes import inside
from dupl.method.cam import Present
from dupl.method.pseudo_labels import PseudoLabels, pseudo_labels
from dupl.method.refine import NoRefinement, PixelAdaptiveRefinement
from dupl.structures import IGNORE

TAU_L = 0.25


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def neighbours(x: Tensor, dilations: list[int]) -> Tensor:
    """The 8 neighbours at each dilation, the nearest pixel beyond the edge, (B, C, N, h, w)."""
    height, width = x.shape[-2:]
    rows, columns = torch.arange(height), torch.arange(width)
    found = []
    for d in dilations:
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if dy or dx:
                    y, x_ = (rows + d * dy).clamp(0, height - 1), (columns + d * dx).clamp(0, width - 1)
                    found.append(x[:, :, y][..., x_])
    return torch.stack(found, 2)


def naive_affinity(images: Tensor, dilations: list[int], w1: float, w2: float) -> Tensor:
    """As the paper of the refinement has it, all neighbours in memory: (B, 1, N, h, w)."""
    around = neighbours(images, dilations)
    apart = (around - images[:, :, None]).abs() / (around.std(2, keepdim=True) + 1e-8) / w1
    colour = (-(apart**2)).mean(1, keepdim=True).softmax(2)
    diagonal = [2**0.5, 1, 2**0.5, 1, 1, 2**0.5, 1, 2**0.5]
    distance = torch.tensor([d * far for d in dilations for far in diagonal], dtype=images.dtype)
    place = (-((distance / (distance.std() + 1e-8) / w1) ** 2)).softmax(0)
    return colour + w2 * place[None, None, :, None, None]


def naive_spread(affinity: Tensor, maps: Tensor, dilations: list[int], iterations: int) -> Tensor:
    for _ in range(iterations):
        maps = (neighbours(maps, dilations) * affinity).sum(2)
    return maps


SETTINGS = [
    dict(dilations=[1], iterations=1, w1=0.3, w2=0.01),
    dict(dilations=[1, 2, 4], iterations=3, w1=0.3, w2=0.01),
    dict(dilations=[2, 9], iterations=2, w1=1.0, w2=0.5),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_refinement_against_a_naive_reference(setting: dict[str, object]) -> None:
    refine = PixelAdaptiveRefinement(**setting)
    images, maps = rand(2, 3, 6, 7), rand(2, 4, 6, 7, seed=1)
    affinity = refine.affinity(images)
    dilations, w1, w2 = setting["dilations"], setting["w1"], setting["w2"]
    naive = naive_affinity(images, dilations, w1, w2)
    assert torch.allclose(affinity, naive[:, 0].transpose(0, 1), atol=1e-6)  # distances are float32
    spread = refine.spread(affinity, maps)
    assert torch.allclose(spread, naive_spread(naive, maps, dilations, setting["iterations"]), atol=1e-5)
    assert torch.allclose(refine.spread(affinity, torch.ones_like(maps)), torch.tensor(refine.gain).double())
    assert torch.allclose(affinity.sum(0), torch.tensor(1 + w2).double())


def test_affinity_one_pixel_at_a_time() -> None:
    """Written out with loops over pixels and neighbours, for one dilation."""
    images, (w1, w2) = rand(1, 3, 3, 4), (0.3, 0.01)
    affinity = PixelAdaptiveRefinement(dilations=[1], iterations=1, w1=w1, w2=w2).affinity(images)
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    far = [np.hypot(*step) for step in steps]
    place = np.exp([-((f / np.std(far, ddof=1) / w1) ** 2) for f in far])
    for y, x in np.ndindex(3, 4):
        exponent = np.zeros(8)
        for colour in images[0].numpy():
            around = [colour[min(max(y + dy, 0), 2), min(max(x + dx, 0), 3)] for dy, dx in steps]
            spread = np.std(around, ddof=1)
            exponent -= np.array([((a - colour[y, x]) / spread / w1) ** 2 for a in around]) / 3
        expected = np.exp(exponent) / np.exp(exponent).sum() + w2 * place / place.sum()
        assert affinity[:, 0, y, x].numpy() == pytest.approx(expected, abs=1e-6)


def test_scores_flow_along_alike_pixels_and_stop_at_edges() -> None:
    images = torch.zeros(1, 3, 12, 12)
    images[..., 6:] = 1
    images += 0.02 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    maps = torch.zeros(1, 1, 12, 12)
    maps[0, 0, 2:5, 2:5] = 1
    refine = PixelAdaptiveRefinement(dilations=[1, 2], iterations=10)
    spread = refine.spread(refine.affinity(images), maps)[0, 0]
    alike, across = spread[6:, :6].mean(), spread[:, 6:].mean()  # both as far from where the scores were
    assert alike > 10 * across


def test_a_plain_image_and_no_refinement() -> None:
    """On a flat image all neighbours count alike; without refinement maps stay as they are."""
    refine = PixelAdaptiveRefinement(dilations=[1], iterations=1, w2=0.0)
    affinity = refine.affinity(torch.full((1, 3, 4, 4), 0.3))
    assert torch.allclose(affinity, torch.tensor(1 / 8)) and affinity.isfinite().all()
    off, maps = NoRefinement(), rand(2, 3, 4, 4)
    assert torch.equal(off.spread(off.affinity(rand(2, 3, 4, 4)), maps), maps)
    assert off.gain == 1 and off.downscale == 1


# Pseudo-labels


def naive_labels(
    setting: dict[str, object], images: Tensor, maps: Tensor, tags: Tensor, boxes: Tensor, tau_h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Image by image, all channels with the background refined, once with each threshold; and where classes tie."""
    size, down = images.shape[-2:], setting["downscale"]
    y, hard = (torch.full((len(images), *size), IGNORE) for _ in range(2))
    tie = torch.zeros_like(y, dtype=torch.bool)
    for b, tag in enumerate(tags):
        classes = [0, *(tag.nonzero()[:, 0] + 1).tolist()]
        small = F.interpolate(images[b : b + 1], size=[s // down for s in size], mode="bilinear", align_corners=False)
        affinity = naive_affinity(small, setting["dilations"], setting["w1"], setting["w2"])
        scores = []
        for tau in (float(tau_h[b]), TAU_L):
            full = torch.cat([torch.full_like(maps[b : b + 1, :1], tau), maps[b : b + 1]], 1)
            full = F.interpolate(full, size=small.shape[-2:], mode="bilinear", align_corners=False)[:, classes]
            refined = naive_spread(affinity, full.softmax(1), setting["dilations"], setting["iterations"])
            scores.append(F.interpolate(refined, size=size, mode="bilinear", align_corners=False)[0])
        scores.append(scores[0] + scores[1])
        high, low, vote = (torch.tensor(classes)[s.argmax(0)] for s in scores)
        label = torch.where(high != 0, high, torch.where(low == 0, 0, IGNORE))
        y0, y1, x0, x1 = boxes[b].tolist()
        y[b, y0:y1, x0:x1] = label[y0:y1, x0:x1]
        hard[b, y0:y1, x0:x1] = torch.where(label == IGNORE, vote, label)[y0:y1, x0:x1]
        for s in scores:
            if len(classes) > 1:
                best = s.topk(2, 0).values
                tie[b] |= best[0] - best[1] < 1e-5
    return y, hard, tie


def scene(seed: int, size: tuple[int, int] = (18, 14), images: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def smooth(*shape: int) -> Tensor:
        coarse = torch.rand(*shape, 4, 4, generator=generator, dtype=torch.float64)
        return F.interpolate(coarse, size=size, mode="bicubic", align_corners=False).clamp(0, 1)

    tags = (torch.rand(images, 4, generator=generator) < 0.6).float()
    tags[0], tags[1, 1] = 0, 1  # one without tags, one with at least one
    top = torch.randint(0, 6, (images, 2), generator=generator)
    end = torch.randint(8, 15, (images, 2), generator=generator)
    boxes = torch.stack([top[:, 0], end[:, 0], top[:, 1], end[:, 1]], 1)
    tau_h = 0.55 + 0.15 * torch.rand(images, generator=generator, dtype=torch.float64)
    photo = (smooth(images, 3) * 0.8 + 0.2 * torch.rand(images, 3, *size, generator=generator)).clamp(0, 1)
    return dict(images=photo, maps=smooth(images, 4), tags=tags, boxes=boxes, tau_h=tau_h)


def label(refine: PixelAdaptiveRefinement, s: dict[str, Tensor]) -> PseudoLabels:
    present = Present.of(s["tags"])
    maps = present.pick(s["maps"]) * present.valid[..., None, None]
    return pseudo_labels(refine, s["images"], [maps], present, s["boxes"], TAU_L, s["tau_h"])[0]


@pytest.mark.parametrize("downscale", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_labels_against_refining_every_channel(seed: int, downscale: int) -> None:
    setting = dict(dilations=[1, 2], iterations=4, w1=0.3, w2=0.01, downscale=downscale)
    s = scene(seed)
    ours = label(PixelAdaptiveRefinement(**setting), s)
    y, hard, tie = naive_labels(setting, s["images"], s["maps"], s["tags"], s["boxes"], s["tau_h"])
    assert tie.float().mean() < 0.01
    assert torch.equal(ours.y[~tie], y[~tie]) and torch.equal(ours.hard[~tie], hard[~tie])
    assert {0, IGNORE} < set(ours.y.unique().tolist()), "the scene shows background, undecided and foreground pixels"


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_hard_labels_are_the_labels_with_undecided_pixels_decided(seed: int) -> None:
    s = scene(seed)
    answer = label(PixelAdaptiveRefinement(dilations=[1, 2], iterations=5), s)
    photo = inside(s["boxes"], answer.y.shape[1:])
    assert (answer.y[~photo] == IGNORE).all() and (answer.hard[~photo] == IGNORE).all()
    assert (answer.hard[photo] != IGNORE).all(), "every pixel of the photo is decided"
    decided = answer.y != IGNORE
    assert torch.equal(answer.hard[decided], answer.y[decided])
    for b, tag in enumerate(s["tags"]):
        allowed = {0, IGNORE, *(tag.nonzero()[:, 0] + 1).tolist()}
        assert set(answer.y[b].unique().tolist()) | set(answer.hard[b].unique().tolist()) <= allowed
    assert not answer.y[0][photo[0]].any() and not answer.hard[0][photo[0]].any(), "no tags: all background"


def test_labels_by_hand_without_refinement() -> None:
    """Softmax keeps the order, so the labels are those of plain thresholds."""
    value = torch.tensor([[0.1, 0.24, 0.3, 0.6, 0.69, 0.71, 0.9, 0.9]])
    other = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.95, 0.8]])
    tags = torch.tensor([[0.0, 1.0, 0.0, 1.0]])
    maps = torch.stack([value, other])[None]
    box = torch.tensor([[0, 1, 0, 8]])
    for tau_h, expected in (
        (0.7, [0, 0, IGNORE, IGNORE, IGNORE, 2, 4, 2]),
        (0.5, [0, 0, IGNORE, 2, 2, 2, 4, 2]),
    ):
        image, tau = torch.rand(1, 3, 1, 8), torch.tensor([tau_h])
        answer = pseudo_labels(NoRefinement(), image, [maps], Present.of(tags), box, TAU_L, tau)[0]
        assert answer.y[0, 0].tolist() == expected


def test_each_image_has_its_threshold_and_the_students_do_not_mix() -> None:
    maps = torch.full((2, 1, 4, 4), 0.6)
    tags, boxes = torch.tensor([[1.0], [1.0]]), torch.tensor([[0, 4, 0, 4]] * 2)
    tau_h = torch.tensor([0.55, 0.7])
    first, second = pseudo_labels(
        PixelAdaptiveRefinement(dilations=[1], iterations=2),
        torch.rand(2, 3, 4, 4),
        [maps, maps * 0],
        Present.of(tags),
        boxes,
        TAU_L,
        tau_h,
    )
    assert (first.y[0] == 1).all() and (first.y[1] == IGNORE).all() and not second.y.any()


def test_labels_do_not_depend_on_the_rest_of_the_batch() -> None:
    s, refine = scene(3), PixelAdaptiveRefinement(dilations=[1, 2], iterations=3)
    whole = label(refine, s)
    for b in range(3):
        alone = label(refine, {name: value[b : b + 1] for name, value in s.items()})
        assert torch.equal(alone.y[0], whole.y[b]) and torch.equal(alone.hard[0], whole.hard[b])


def test_inside_and_an_empty_box() -> None:
    boxes = torch.tensor([[1, 3, 0, 2], [2, 2, 0, 4], [0, 3, 0, 4]])
    mask = inside(boxes, (3, 4))
    assert mask[0].int().tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert not mask[1].any() and mask[2].all()
    s = scene(1) | dict(boxes=torch.tensor([[5, 5, 0, 14]] * 3))
    answer = label(PixelAdaptiveRefinement(dilations=[1], iterations=1), s)
    assert (answer.y == IGNORE).all() and (answer.hard == IGNORE).all()


def test_what_is_not_set_is_as_released() -> None:
    refine = PixelAdaptiveRefinement()
    assert (refine.iterations, refine.w1, refine.downscale) == (10, 0.3, 2)
    assert len(refine.shifts) == 48 and max(refine.shifts) == (24, 24)
    assert float(refine.distance.sum()) == pytest.approx(0.01) and refine.gain == pytest.approx(1.01**10)
