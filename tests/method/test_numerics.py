"""What data and numbers may bring at worst, through the real training step: finite, or stopped by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dupl.engine.training.finite_guard import FiniteGuard
from dupl.method.cam import Maps, Present, label_by_threshold
from dupl.method.dupl import DuPL, pixel_shares
from dupl.method.mixture import fit_mixture
from dupl.method.network import StudentOutput
from dupl.method.noise_filter import MixtureFilter
from dupl.method.patch_contrast import PatchTokenContrast
from dupl.method.pseudo_labels import PseudoLabels, pseudo_labels
from dupl.method.refine import PixelAdaptiveRefinement
from dupl.method.supervised import Supervised
from dupl.method.view import View
from dupl.structures import IGNORE, Clock

Build = Callable[..., DuPL]
Batch = Callable[..., dict[str, Any]]
EVERYTHING, SIDE = 25, 32  # an iteration at which every component acts; pixels
EM = dict(min_pixels=1, bins=256, max_iter=10, tol=1e-2, reg_covar=5e-4)
both = pytest.mark.parametrize("form", ["paper", "released"])
TERMS = {"L_cls", "L_ptc", "L_dis", "L_seg", "L_reg"}


def terms_of(model: DuPL, batch: dict[str, Any]) -> dict[str, Tensor]:
    """The terms of the loss, without what is only logged."""
    return {name: value for name, value in model.loss(**batch).items() if name.startswith("L_")}


def step(model: DuPL, batch: dict[str, Any]) -> dict[str, float]:
    """Terms of a training step, after its backward pass; all numbers and gradients are finite."""
    losses = model.loss(**batch)
    losses["loss"].backward()
    told = {name: float(value) for name, value in losses.items()}
    assert all(map(math.isfinite, told.values())), told
    for name, weight in model.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), name
    assert any(weight.grad is not None and weight.grad.any() for weight in model.parameters())
    return told


@both
@pytest.mark.parametrize("t", [0, 10, EVERYTHING])
def test_a_batch_of_one(build: Build, batch: Batch, form: str, t: int) -> None:
    told = step(build(form), batch([[1]], t=t))
    assert told.keys() >= TERMS


@both
def test_a_batch_of_one_is_its_share_of_a_batch_of_two_alike(build: Build, batch: Batch, form: str) -> None:
    one, two = batch([[1]], t=EVERYTHING), batch([[1], [1]], t=EVERYTHING)
    two["images"] = one["images"].expand(2, -1, -1, -1).contiguous()
    two["seeds"] = [0, 0]
    alone, together = step(build(form), one), step(build(form), two)
    for name in TERMS - {"L_ptc"}:  # whose mean is over one pair more than there is
        assert together[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-5), name


@both
def test_images_without_any_class(build: Build, batch: Batch, form: str) -> None:
    """Everything in them is background, which supervises; nothing is undecided."""
    told = step(build(form), batch([[], []], t=EVERYTHING))
    assert told["pixels/undecided"] == pytest.approx(0, abs=1e-6)
    assert told["L_seg"] > 0
    mixed = step(build(form), batch([[], [0, 2]], t=EVERYTHING))
    assert mixed.keys() == told.keys()


@both
@pytest.mark.parametrize("tags", [[[0], [0]], [[0, 1, 2], [0, 1, 2]], [[2], []]])
def test_classes_that_all_or_no_images_have(build: Build, batch: Batch, form: str, tags: list[list[int]]) -> None:
    step(build(form), batch(tags, t=EVERYTHING))


@both
@pytest.mark.parametrize("box", [[0, 0, 0, 0], [5, 5, 0, SIDE], [7, 8, 9, 10], [SIDE - 1, SIDE, 0, 1]])
def test_a_photo_of_no_or_one_pixel_in_its_crop(build: Build, batch: Batch, form: str, box: list[int]) -> None:
    """Nothing outside the photo supervises; where no image has a labelled pixel, L_seg is 0."""
    model = build(form, off=("L_reg",))
    told = step(model, batch([[0], [1]], t=EVERYTHING, boxes=[box, box]))
    pixels = (box[1] - box[0]) * (box[3] - box[2])
    if not pixels:
        assert told["L_seg"] == told["pixels/supervised"] == told["pixels/filtered"] == 0
    assert 0 <= told["pixels/supervised"] + told["pixels/filtered"] <= 1
    beside = step(build(form), batch([[0], [1]], t=EVERYTHING, boxes=[box, [0, SIDE, 0, SIDE]]))
    assert beside["L_seg"] > 0


@both
@pytest.mark.parametrize("value", [-2.0, 0.0, 2.5])
def test_images_of_one_colour(build: Build, batch: Batch, form: str, value: float) -> None:
    data = batch([[0], [1, 2]], t=EVERYTHING)
    data["images"].fill_(value)
    step(build(form), data)


@both
def test_cams_that_are_zero_everywhere(build: Build, batch: Batch, form: str) -> None:
    """A classifier of zeros: no evidence, no foreground; every pixel of the photo is background."""
    model = build(form)
    for net in model.students:
        torch.nn.init.zeros_(net.classifier.weight)
        torch.nn.init.zeros_(net.aux_classifier.weight)
    data = batch([[0], [1, 2]], t=EVERYTHING)
    told = step(model, data)
    assert told["L_cls"] == pytest.approx(4 * math.log(2)), "scores of 0: even odds, four classifiers"
    assert told["pixels/undecided"] == pytest.approx(0, abs=1e-6)
    made = model.inspect(data["images"], data["tags"], data["present"], data["boxes"], data["clock"])
    assert made.labels and not any(one.y.any() or one.hard.any() for one in made.labels)


def test_a_constant_cam_says_background() -> None:
    present = Present.of(torch.tensor([[1.0, 1.0]]))
    constant = torch.zeros(1, 2, SIDE, SIDE)  # what max-min normalisation makes of any constant map
    assert not label_by_threshold(constant, present, 0.0).any()
    boxes = torch.tensor([[0, SIDE, 0, SIDE]])
    image = torch.rand(1, 3, SIDE, SIDE)
    refine = PixelAdaptiveRefinement(dilations=[1, 2], iterations=2)
    (labels,) = pseudo_labels(refine, image, [constant], present, boxes, 0.25, torch.tensor([0.7]))
    assert not labels.y.any() and not labels.hard.any()


@both
def test_equal_students(build: Build, batch: Batch, form: str) -> None:
    """cos = 1: where -log(1 - cos) has its pole."""
    model = build(form)
    model.students[1].load_state_dict(model.students[0].state_dict())
    told = step(model, batch([[0], [1]], t=EVERYTHING))
    limit = -math.log(1e-6) if form == "paper" else 2
    assert told["L_dis"] == pytest.approx(2 * limit, rel=0.02)


# Identical losses


@pytest.mark.parametrize("value", [0.0, 1e-30, 0.7, 1e4, 1e30])
def test_identical_losses_have_no_mixture(value: float) -> None:
    losses = torch.full((2, 50), value)
    mixture = fit_mixture(losses, torch.ones_like(losses, dtype=torch.bool), **EM)
    assert not mixture.fitted.any()
    assert all(part.isfinite().all() for part in (mixture.weight, mixture.mean, mixture.variance))
    filtering = MixtureFilter(gamma=0.5, eta=0.0, min_pixels=1)
    assert not filtering.noisy(losses, torch.ones_like(losses, dtype=torch.int64)).any(), "nothing stands out"


@pytest.mark.parametrize("spread", [1e-7, 1e-3, 1.0, 1e6])
def test_losses_of_two_values(spread: float) -> None:
    """Zero variance in both components: reg_covar keeps the densities finite."""
    losses = torch.cat([torch.full((1, 60), 1.0), torch.full((1, 40), 1.0 + spread)], 1)
    mixture = fit_mixture(losses, torch.ones_like(losses, dtype=torch.bool), **EM)
    assert all(part.isfinite().all() for part in (mixture.weight, mixture.mean, mixture.variance))
    noisy = MixtureFilter(gamma=0.5, eta=0.5, min_pixels=1).noisy(losses, torch.ones_like(losses, dtype=torch.int64))
    assert noisy.tolist() == [[False] * 60 + [spread > 0.5] * 40]


@both
def test_a_head_that_predicts_one_thing_everywhere(build: Build, batch: Batch, form: str) -> None:
    """The same loss at every pixel of a label, through the whole step."""
    model = build(form)
    for net in model.students:
        torch.nn.init.zeros_(net.head[4].weight)
    told = step(model, batch([[], []], t=EVERYTHING))
    assert told["pixels/filtered"] == 0


# What overflows


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_losses_that_are_not_finite_are_left_out_of_the_mixture(bad: float) -> None:
    """Before, a nan among the losses was an index out of range; on a GPU, the end of the process."""
    torch.manual_seed(0)
    losses = torch.cat([torch.rand(2, 80) * 0.1, 3 + torch.rand(2, 40) * 0.1], 1)
    plain = MixtureFilter(gamma=0.9, eta=1.0, min_pixels=1)
    labels = torch.ones_like(losses, dtype=torch.int64)
    expected = plain.noisy(losses, labels)
    assert expected[:, 80:].all() and not expected[:, :80].any()
    spoilt = losses.clone()
    spoilt[0, 5] = bad
    assert torch.equal(plain.noisy(spoilt, labels)[:, 80:], expected[:, 80:])
    nothing = torch.full_like(losses, bad)
    assert not fit_mixture(nothing, labels.bool(), **EM).fitted.any()
    assert not plain.noisy(nothing, labels).any()


@both
@pytest.mark.parametrize("precision", ["off", "cam", "bf16"])
@pytest.mark.parametrize(("part", "term"), [("head", "L_seg"), ("classifier", "L_cls"), ("backbone", "L_cls")])
def test_an_overflow_is_stopped_by_name(
    build: Build, batch: Batch, form: str, precision: str, part: str, term: str
) -> None:
    """Weights beyond what the precision holds: inf in the logits, nan in the loss, and one line that says where."""
    model = build(form, precision=precision)
    net = model.students[0]
    with torch.no_grad():
        weight = {
            "head": net.head[4].weight,
            "classifier": net.classifier.weight,
            "backbone": net.backbone.vit.blocks[-1].mlp.fc2.weight,
        }[part]
        weight.fill_(3e38).mul_(torch.randn_like(weight).sign())
        if part == "head":
            net.head[0].weight.mul_(1e3)
        if part == "classifier":
            net.backbone.vit.norm.weight.mul_(1e3)
    for t in (10, EVERYTHING):
        with pytest.raises(FloatingPointError, match=rf"{term} is (nan|-?inf)"):
            FiniteGuard()(terms_of(model, batch([[0], [1, 2]], t=t)))


@both
@pytest.mark.parametrize("precision", ["cam", "bf16"])
def test_mixed_precision_without_overflow(build: Build, batch: Batch, form: str, precision: str) -> None:
    """Logits of thousands, far beyond what float16 would hold after a square, are no trouble."""
    model = build(form, precision=precision)
    with torch.no_grad():
        for net in model.students:
            net.head[4].weight *= 1e3
    step(model, batch([[0], [1, 2]], t=EVERYTHING))


# Masks, for the supervised counterpart


@pytest.fixture
def supervised(network: dict[str, Any]) -> Supervised:
    torch.manual_seed(0)
    parts = dict(
        students=dict(type="SingleStudent"),
        discrepancy=dict(type="NoDiscrepancy"),
        threshold=dict(type="FixedThreshold"),
        noise_filter=dict(type="TrustAll"),
        consistency=dict(type="NoConsistency"),
        segmentation=dict(type="CrossEntropy"),
        patch_contrast=dict(type="NoPatchContrast"),
        refine=dict(type="NoRefinement"),
        perturb=dict(type="StrongPerturbation"),
    )
    return Supervised(num_classes=4, network=network, **parts)


@pytest.mark.parametrize("kind", ["CrossEntropy", "BalancedCrossEntropy"])
def test_masks_of_void_of_one_pixel_and_without_what_the_tags_say(
    supervised: Supervised, batch: Batch, kind: str
) -> None:
    from dupl.registry import COMPONENTS

    supervised.segmentation = COMPONENTS.build(dict(type=kind))
    data = batch([[0], [1]])
    void = torch.full((2, SIDE, SIDE), IGNORE)
    assert step(supervised, {**data, "masks": void})["L_seg"] == 0, "all void: only the tags teach"
    pixel = void.clone()
    pixel[0, 3, 4] = 1
    supervised.zero_grad()
    (output,) = supervised.forward_students(data["images"])
    expected = float(-supervised.log_probabilities(output.logits, (SIDE, SIDE))[0, 1, 3, 4])
    share = 0.5 if kind == "BalancedCrossEntropy" else 1.0
    assert step(supervised, {**data, "masks": pixel})["L_seg"] == pytest.approx(share * expected, rel=1e-4)
    empty = torch.zeros_like(void)  # tagged, and no pixel of it
    assert step(supervised, {**data, "masks": empty})["L_seg"] > 0


def test_shares_of_photos_without_a_pixel() -> None:
    y = torch.full((1, 4, 4), IGNORE)
    view = View(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, dtype=torch.int64))
    shares = pixel_shares([view], [], [PseudoLabels(y, y, y)], [y == 0], torch.tensor([0.7]))
    assert {name: float(value) for name, value in shares.items() if name != "tau_h"} == {
        "pixels/supervised": 0.0,
        "pixels/filtered": 0.0,
        "pixels/undecided": 1.0,
    }


def test_patch_contrast_of_a_photo_smaller_than_a_patch() -> None:
    features = torch.randn(1, 4, 4, 4, requires_grad=True)
    output = StudentOutput(features, features, *[torch.zeros(1, 1)] * 3)
    maps = Maps(torch.zeros(1, 1, SIDE, SIDE), torch.rand(1, 1, SIDE, SIDE))
    boxes = torch.tensor([[9, 10, 9, 10]])
    present = Present.of(torch.ones(1, 1))
    value: Tensor = PatchTokenContrast()([output], [maps], present, boxes, 0.25, torch.tensor([0.7]), Clock(0, 1))
    value.backward()
    assert value.item() == 0.5 and not features.grad.any(), "no patch has a label"
