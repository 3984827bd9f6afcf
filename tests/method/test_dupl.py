from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, combinations
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv

from dupl.engine.preprocess import to_device
from dupl.engine.training.finite_guard import FiniteGuard
from dupl.engine.training.step import train_step
from dupl.errors import UserError
from dupl.method.cam import Maps
from dupl.method.dupl import DuPL
from dupl.method.pixels import denormalise, normalise
from dupl.method.segmentation import BalancedCrossEntropy
from dupl.method.view import View
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, IMAGE_MEAN, IMAGE_STD, Clock

SWITCHES = ("DS", "L_dis", "DTA", "ANF", "L_reg")
EVERY_OFF = list(chain.from_iterable(combinations(SWITCHES, n) for n in range(6)))
REFUSED = [off for off in EVERY_OFF if "DS" in off and "L_dis" not in off]
BEFORE_SEG, BEFORE_ANF, ALL = 5, 15, 30
TERMS = ("L_cls", "L_ptc", "L_dis", "L_seg", "L_reg")
Build, Batch = Callable[..., DuPL], Callable[..., dict[str, Any]]


def step(model: DuPL, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Forward and backward; all that comes out is finite."""
    model.zero_grad()
    logs = model.loss(**batch)
    logs["loss"].backward()
    assert all(value.isfinite() for value in logs.values()), logs
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    return logs


def terms_of(model: DuPL, batch: dict[str, Any]) -> dict[str, Tensor]:
    """The terms of the loss, without what is only logged."""
    return {name: value for name, value in model.loss(**batch).items() if name.startswith("L_")}


def inspected(model: DuPL, samples: dict[str, Any]) -> tuple[Any, Any, list[Tensor]]:
    """Pseudo-labels, noisy pixels and log-probabilities of every student."""
    made = model.inspect(**{k: v for k, v in samples.items() if k != "seeds"})
    return made.labels, made.noisy, made.log_P


def grown(model: nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


# Switches


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("off", [o for o in EVERY_OFF if o not in REFUSED], ids=lambda off: "-".join(off) or "none")
def test_every_combination_of_switches_steps_in_every_phase(
    form: str, off: tuple[str, ...], build: Build, batch: Batch
) -> None:
    model = build(form, off)
    assert len(model.students) == (1 if "DS" in off else 2)
    for t in (BEFORE_SEG, BEFORE_ANF, ALL):
        logs = step(model, batch([[0, 2], [1]], t, boxes=[[0, 32, 0, 28], [3, 29, 0, 32]]))
        for net in model.students:
            assert grown(net.backbone) and grown(net.classifier) and grown(net.aux_classifier)
            assert grown(net.head) == (t > BEFORE_SEG), "heads start with L_seg"
        assert (logs["L_dis"] != 0) == ("L_dis" not in off)
        assert (logs["L_seg"] > 0) == (t > BEFORE_SEG) and logs["L_cls"] > 0 and logs["L_ptc"] > 0
        assert (logs["L_reg"] > 0) == ("L_reg" not in off and t == ALL)
        assert (logs["tau_h"] < 0.7 - 1e-4) == ("DTA" not in off and (t > BEFORE_SEG or form == "paper"))
        if t > BEFORE_SEG:
            assert (logs["pixels/filtered"] > 0) == ("ANF" not in off and t == ALL)
            shares = logs["pixels/supervised"] + logs["pixels/filtered"] + logs["pixels/undecided"]
            assert float(shares) == pytest.approx(1, abs=1e-5)
        weighted = sum(logs[f"L_{k}"] * w for k, w in model.weights.items() if f"L_{k}" in logs) + logs["L_cls"]
        assert float(logs["loss"]) == pytest.approx(float(weighted), rel=1e-5)


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("off", REFUSED, ids="-".join)
def test_a_discrepancy_without_two_students_is_refused(form: str, off: tuple[str, ...], build: Build) -> None:
    with pytest.raises(
        UserError, match="L_dis without DS: a discrepancy needs two students; set model.discrepancy.type"
    ):
        build(form, off)


def test_the_32_combinations() -> None:
    assert len(EVERY_OFF) == 32 and len(REFUSED) == 8


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (dict(tau_l=1.5), "model.tau_l is 1.5"),
        (dict(weights=dict(dys=1.0)), "model.weights has no term 'dys': choose from ptc, dis, seg, reg"),
        (dict(precision="fp8"), "model.precision is 'fp8'"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, Any], named: str, build: Build) -> None:
    with pytest.raises(UserError, match=named):
        build(**wrong)


# Batches with nothing in them


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("t", [BEFORE_SEG, BEFORE_ANF, ALL])
def test_poor_batches_step(form: str, t: int, build: Build, batch: Batch) -> None:
    model = build(form)
    poor = {
        "no tags at all": batch([[], []], t),
        "one image without tags": batch([[], [0, 1, 2]], t),
        "one class only": batch([[1], [1]], t),
        "batch of one": batch([[2]], t),
        "nothing of the photo": batch([[0], [1]], t, boxes=[[7, 7, 0, 32], [0, 32, 32, 32]]),
        "a single pixel of the photo": batch([[0], [1, 2]], t, boxes=[[5, 6, 5, 6], [31, 32, 31, 32]]),
    }
    for name, samples in poor.items():
        logs = step(model, samples)
        if t > BEFORE_SEG and name == "nothing of the photo":
            assert logs["L_seg"] == 0 and logs["pixels/supervised"] == 0
        if t > BEFORE_SEG and name == "no tags at all":
            assert logs["L_seg"] > 0 and logs["pixels/supervised"] + logs["pixels/filtered"] == 1, "background only"


def test_images_of_one_colour_step(build: Build, batch: Batch) -> None:
    samples = batch([[0], [1, 2]], ALL)
    samples["images"] = torch.zeros_like(samples["images"])
    for form in ("paper", "released"):
        step(build(form), samples)


# Who learns from whom


class Spy:
    """Stands for a component and keeps what it was asked."""

    def __init__(self, part: Any) -> None:
        self.part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def __call__(self, *asked: Any) -> Any:
        self.asked = asked
        return self.part(*asked)


def seen(model: DuPL, name: str, samples: dict[str, Any]) -> tuple[Any, ...]:
    spy = Spy(getattr(model, name))
    setattr(model, name, spy)
    model.loss(**samples)
    setattr(model, name, spy.part)
    asked: tuple[Any, ...] = spy.asked
    return asked


def reached(loss: Tensor, net: nn.Module) -> set[str]:
    """Names of the parameters that a loss pulls at."""
    named = {n: p for n, p in net.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    return {name for name, grad in zip(named, grads, strict=True) if grad is not None and grad.any()}


@pytest.mark.parametrize("form", ["paper", "released"])
def test_students_teach_each_other_by_labels_alone(form: str, build: Build, batch: Batch) -> None:
    model, samples = build(form), batch([[0, 2], [1]], ALL)
    log_P, targets, _ = seen(model, "segmentation", samples)
    labels, noisy, weak = inspected(model, samples)
    trusted = [y.y.masked_fill(n, IGNORE) for y, n in zip(labels, noisy, strict=True)]
    assert torch.equal(targets[0], trusted[1]) and torch.equal(targets[1], trusted[0])
    assert not torch.equal(targets[0], targets[1]) and noisy[0].any() and noisy[1].any()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(log_P, weak, strict=True))
    for own, other in ((0, 1), (1, 0)):
        loss = model.segmentation.one(log_P[own], targets[own])
        assert not reached(loss, model.students[other])
        names = reached(loss, model.students[own])
        assert "head.4.weight" in names and "backbone.vit.blocks.0.attn.qkv.weight" in names
        assert not any("classifier" in name for name in names), "no gradient through CAMs"


def test_one_student_teaches_itself(build: Build, batch: Batch) -> None:
    model, samples = build(off=("DS", "L_dis")), batch([[0, 2], [1]], ALL)
    _, targets, _ = seen(model, "segmentation", samples)
    labels, noisy, _ = inspected(model, samples)
    assert len(targets) == 1 and torch.equal(targets[0], labels[0].y.masked_fill(noisy[0], IGNORE))


@pytest.mark.parametrize("form", ["paper", "released"])
def test_the_target_of_l_reg_has_no_gradient(form: str, build: Build, batch: Batch) -> None:
    model, samples = build(form), batch([[0, 2], [1]], ALL)
    (inputs,) = seen(model, "consistency", samples)
    loss = model.consistency(inputs)
    weak = torch.autograd.grad(loss, [e.log_P for e in inputs], retain_graph=True, allow_unused=True)
    strong = torch.autograd.grad(loss, [e.strong_logits for e in inputs], retain_graph=True)
    assert weak == (None, None) and all(g.any() for g in strong)
    alone = model.consistency(inputs[:1])
    assert not reached(alone, model.students[1]) and "head.0.weight" in reached(alone, model.students[0])


@pytest.mark.parametrize("form", ["paper", "released"])
def test_the_inputs_of_l_reg(form: str, build: Build, batch: Batch) -> None:
    model, samples = build(form), batch([[0, 2], [1]], ALL, boxes=[[0, 32, 0, 28], [3, 29, 0, 32]])
    (inputs,) = seen(model, "consistency", samples)
    labels, noisy, log_P = inspected(model, samples)
    trusted = [y.y.masked_fill(n, IGNORE) for y, n in zip(labels, noisy, strict=True)]
    for i, e in enumerate(inputs):
        assert torch.allclose(e.log_P, log_P[i], atol=1e-6) and torch.equal(e.own, labels[i].hard)
        assert torch.equal(e.trusted, trusted[i]) and torch.equal(e.target, trusted[1 - i])
        assert not torch.equal(trusted[i], labels[i].y), "some labels are noise"


def test_the_strong_view_is_brought_back(build: Build, batch: Batch) -> None:
    """Without colour operations phi is a flip and a scale; by hand on images of 8 bits."""
    model = build(perturb=dict(type="StrongPerturbation", ops=0, scale=0.75)).eval()
    levels = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    samples = batch([[0, 2], [1]], ALL) | dict(images=normalise(levels / 255))
    (inputs,) = seen(model, "consistency", samples)
    for net, e in zip(model.students, inputs, strict=True):
        small = F.interpolate(samples["images"].flip(-1), size=(24, 24), mode="bilinear", align_corners=False)
        logits = net.segment(small).flip(-1)
        back = F.interpolate(logits, size=(32, 32), mode="bilinear", align_corners=False)
        assert torch.allclose(e.strong_logits, back, atol=1e-3)


def test_the_discrepancy_pulls_at_both_backbones_and_nothing_else(build: Build, batch: Batch) -> None:
    model = build(discrepancy=dict(type="LogCosineDiscrepancy"))
    views, clock = seen(model, "discrepancy", batch([[0], [1]], BEFORE_SEG))
    loss = model.discrepancy(views, clock)
    for net in model.students:
        names = reached(loss, net)
        assert "backbone.vit.norm.weight" in names and not any("head" in n or "classifier" in n for n in names)


# What is done when


def calls(model: DuPL, samples: dict[str, Any]) -> list[int]:
    """Forward passes of each student's backbone in one step."""
    counts = [0] * len(model.students)

    def count(i: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            counts[i] += 1

        return hook

    hooks = [net.backbone.register_forward_hook(count(i)) for i, net in enumerate(model.students)]
    model.loss(**samples)
    for hook in hooks:
        hook.remove()
    return counts


def test_no_pass_is_made_that_no_loss_asks_for(build: Build, batch: Batch) -> None:
    """A step is one pass; CAMs at two scales are two more, the strong view one."""
    never, late = dict(type="NoPatchContrast"), dict(type="PatchTokenContrast", start=8)
    for patch_contrast, counts in (
        (never, {0: 1, 9: 1, 10: 3, 19: 3, 20: 4}),
        (late, {7: 1, 8: 3, 10: 3, 20: 4}),
        (dict(type="PatchTokenContrast"), {0: 3, 10: 3, 20: 4}),
    ):
        model = build(patch_contrast=patch_contrast)
        for t, count in counts.items():
            assert calls(model, batch([[0], [1]], t)) == [count, count], t
    assert calls(build(off=("L_reg",)), batch([[0], [1]], 20)) == [3, 3]


def test_a_step_has_no_past_and_draws_nothing(build: Build, batch: Batch) -> None:
    model = build()
    first = model.loss(**batch([[0], [1]], ALL))
    model.loss(**batch([[2], []], BEFORE_ANF, seed=3))
    torch.manual_seed(123)
    again = model.loss(**batch([[0], [1]], ALL))
    assert first.keys() == again.keys() and all(torch.equal(first[k], again[k]) for k in first)
    other = model.loss(**(batch([[0], [1]], ALL) | dict(seeds=[7, 8])))
    assert torch.equal(first["L_seg"], other["L_seg"]) and not torch.equal(first["L_reg"], other["L_reg"])


def test_two_half_batches_have_the_mean_l_cls_of_the_whole(build: Build, batch: Batch) -> None:
    model = build()
    whole = batch([[0], [1, 2], [], [0, 1]], BEFORE_SEG)

    def gradient(parts: Sequence[slice]) -> tuple[float, Tensor]:
        model.zero_grad()
        value = 0.0
        for part in parts:
            half = {k: whole[k][part] for k in ("images", "tags", "boxes", "seeds")}
            present = type(whole["present"]).of(half["tags"])
            views = model.forward_students(half["images"])
            loss = model.classification(views, half["tags"]) / len(parts)
            loss.backward()
            value += loss.item()
            assert model.loss(**half, present=present, clock=whole["clock"])["L_cls"].item() == pytest.approx(
                loss.item() * len(parts)
            )
        return value, model.students[0].backbone.vit.patch_embed.proj.weight.grad.clone()

    once, halves = gradient([slice(0, 4)]), gradient([slice(0, 2), slice(2, 4)])
    assert once[0] == pytest.approx(halves[0], rel=1e-6) and torch.allclose(once[1], halves[1], atol=1e-6)


def test_l_cls_by_hand(build: Build, batch: Batch) -> None:
    """Scores of 0 cost log 2, from both classifiers of both students."""
    model = build()
    for net in model.students:
        nn.init.zeros_(net.classifier.weight)
        nn.init.zeros_(net.aux_classifier.weight)
    logs = model.loss(**batch([[0], [1, 2]], BEFORE_SEG))
    assert float(logs["L_cls"]) == pytest.approx(4 * 0.693147, rel=1e-5)


def test_a_lower_threshold_supervises_more(build: Build, batch: Batch) -> None:
    samples = batch([[0, 2], [1]], BEFORE_ANF)
    shares = [
        float(build(threshold=dict(type="FixedThreshold", value=value)).loss(**samples)["pixels/undecided"])
        for value in (0.9, 0.7, 0.5, 0.3)
    ]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]


@pytest.mark.parametrize("precision", ["cam", "bf16", "fp16"])
def test_steps_in_other_precisions(precision: str, build: Build, batch: Batch) -> None:
    samples = batch([[0, 2], [1]], ALL)
    exact, rough = (step(build(precision=p), samples) for p in ("off", precision))
    assert float(rough["loss"]) == pytest.approx(float(exact["loss"]), rel=0.05)
    assert torch.equal(exact["L_cls"], rough["L_cls"]) == (precision == "cam"), "passes with gradients stay in float32"


# mmengine


def test_a_training_step_moves_every_student(build: Build, batch: Batch) -> None:
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    samples = batch([[0, 2], [1]], ALL)
    data = dict(
        image=samples["images"],
        tags=samples["tags"],
        box=samples["boxes"],
        seed=torch.tensor([3, 2**62]),
        name=["a", "b"],
        clock=Clock(30, 40),
    )
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    logs = train_step(model, data, optimizer, FiniteGuard())
    assert set(TERMS) | {"loss", "tau_h"} <= logs.keys() and not any(v.requires_grad for v in logs.values())
    after = model.state_dict()
    still = {name for name in after if torch.equal(after[name], before[name])}
    assert still == {f"students.nets.{i}.backbone.vit.pos_embed" for i in (0, 1)}, "the positions are frozen"


def test_the_batch_goes_in_whole(batch: Batch) -> None:
    samples = batch([[0, 2], []], ALL)
    data = dict(image=samples["images"], tags=samples["tags"], box=samples["boxes"], seed=torch.tensor([3, 2**62]))
    made = to_device(data | dict(clock=Clock(1, 2), name=["a", "b"]), torch.device("cpu"))
    assert made["seeds"] == [3, 2**62] and made["clock"] == Clock(1, 2)
    assert torch.equal(made["present"].index, samples["present"].index) and torch.equal(made["boxes"], samples["boxes"])
    assert set(made) == set(samples)
    masks = torch.zeros(2, 32, 32, dtype=torch.int64)
    assert to_device(data | dict(clock=Clock(1, 2), mask=masks), torch.device("cpu"))["masks"] is masks


def test_masks_do_not_enter_training(build: Build, batch: Batch) -> None:
    with pytest.raises(TypeError, match="masks"):
        build().loss(**batch([[0], [1]]), masks=torch.zeros(2, 32, 32, dtype=torch.int64))


def test_the_guard_names_the_term(build: Build, batch: Batch) -> None:
    guard, terms = FiniteGuard(), terms_of(build(), batch([[0], [1]], BEFORE_ANF))
    with pytest.raises(FloatingPointError, match="^L_seg is nan$"):
        guard(terms | dict(L_seg=torch.tensor(torch.nan)))
    with pytest.raises(FloatingPointError, match="^L_dis is inf, L_reg is nan$"):
        guard(terms | dict(L_dis=torch.tensor(torch.inf), L_reg=torch.tensor(torch.nan)))
    guard(terms)
    guard({"L_cls": torch.tensor(1.0), "L_dis": torch.tensor(-3.0, dtype=torch.bfloat16)})


@pytest.mark.parametrize("term", ["L_dis", "L_seg"])
def test_weights_that_broke_are_told_by_the_first_term_they_reach(term: str, build: Build, batch: Batch) -> None:
    model = build()
    broken = model.students[0].head[0] if term == "L_seg" else model.students[0].backbone.vit.blocks[2].mlp.fc1
    with torch.no_grad():
        broken.weight[(0,) * broken.weight.dim()] = torch.nan
    with pytest.raises(FloatingPointError, match=term):
        FiniteGuard()(terms_of(model, batch([[0], [1]], BEFORE_ANF)))


# Inference


def test_predict(build: Build, batch: Batch) -> None:
    model, samples = build().eval(), batch([[0, 2], [1]])
    answer = model(mode="predict", images=samples["images"], present=samples["present"])
    assert len(answer) == 2
    for scores, logits, maps in answer:
        assert scores.shape == (2, 3) and logits.shape == (2, 4, 4, 4) and maps is not None
        assert maps.main.shape == maps.aux.shape == (2, 2, 32, 32) and not maps.main[1, 1].any()
    assert all(maps is None for *_, maps in model.predict(samples["images"], cams=False))
    assert not answer[0][1].requires_grad


def test_predicted_tags_gate_the_maps(build: Build, batch: Batch) -> None:
    model, images = build().eval(), batch([[0, 2], [1]])["images"]
    nn.init.constant_(model.students[0].classifier.weight, 0.0)
    for scores, _, maps in model.predict(images):
        counts = (scores > 0).sum(1)
        assert maps is not None and maps.main.shape[1] == max(1, int(counts.max()))
        for b in range(2):
            assert not maps.main[b, int(counts[b]) :].any()


def test_images_come_back_on_their_8_bit_levels() -> None:
    levels = torch.arange(256).float().repeat(3, 1)[None, :, None] / 255
    assert torch.equal(denormalise(normalise(levels)), levels)
    noise = normalise(levels) + 1e-3 * torch.randn(levels.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(denormalise(noise), levels), "a little noise does not matter"
    grey = normalise(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
    assert grey.abs().max() < 1e-6
    assert (
        denormalise(torch.full((1, 3, 1, 1), 99.0)).max() == 1
        and denormalise(torch.full((1, 3, 1, 1), -9.0)).min() == 0
    )


def test_truncated_levels_are_those_of_the_released_arithmetic() -> None:
    """torchvision's normalisation, and back in levels with the fraction cut off: some levels become lower by one."""
    levels = torch.arange(256).repeat(3, 1)[:, None].to(torch.uint8)  # (3, 1, 256)
    given = tv.normalize(levels.float() / 255, list(IMAGE_MEAN), list(IMAGE_STD))[None]
    mean, std = (torch.tensor(c)[:, None, None] for c in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    cut = (given * std + mean).to(torch.uint8)
    lower = levels.int() - cut.int()
    assert [int((lower == 1)[0, c].sum()) for c in range(3)] == [19, 7, 6] and lower.min() == 0 and lower.max() == 1
    for made in (given, normalise(levels[None] / 255)):
        assert torch.equal((denormalise(made, "truncate") * 255).round().to(torch.uint8), cut)


def test_levels_reach_refinement_and_strong_view(build: Build, batch: Batch) -> None:
    samples = batch([[0, 2], [1]], ALL)
    table = denormalise(normalise(torch.arange(256)[:, None, None, None].expand(-1, 3, 1, 1) / 255), "truncate")
    lower = int((table[:, 0, 0, 0] * 255).round().ne(torch.arange(256)).nonzero()[0])
    samples["images"] = normalise(torch.full_like(samples["images"], lower / 255))
    for levels, first in (("round", lower), ("truncate", lower - 1)):
        model = build(levels=levels)
        photo, *_ = seen(model, "perturb", samples)
        assert (photo[:, 0] * 255).round().unique().tolist() == [first]
    with pytest.raises(UserError, match="levels is 'up'"):
        build(levels="up")


def test_pseudo_labels_come_from_the_auxiliary_cam_at_first(build: Build, batch: Batch) -> None:
    model, plain = build(aux_labels_until=ALL), build()
    for t in (ALL - 1, ALL):
        samples = batch([[0, 2], [1]], t)
        made = inspected(model, samples)[0]
        cams = plain.inspect(**{k: v for k, v in samples.items() if k != "seeds"}).cams
        assert cams is not None
        swapped = [Maps(maps.aux, maps.main) for maps in cams] if t < ALL else cams
        views = [View(samples["images"], samples["boxes"])] * 2
        tau_h = plain.threshold(samples["clock"], samples["tags"])
        labels = plain.make_labels(views, swapped, samples["present"], tau_h, samples["clock"])
        assert labels is not None
        assert all(torch.equal(one.y, other.y) for one, other in zip(made, labels, strict=True))


def test_a_component_of_ones_own_takes_its_place(build: Build, batch: Batch) -> None:
    @COMPONENTS.register_module(name="TwiceBalanced", force=True)
    class TwiceBalanced(BalancedCrossEntropy):
        @staticmethod
        def one(P: Tensor, Y: Tensor) -> Tensor:
            return 2 * BalancedCrossEntropy.one(P, Y)

    samples = batch([[0], [1]], BEFORE_ANF)
    plain = build().loss(**samples)["L_seg"]
    twice = build(segmentation=dict(type="TwiceBalanced", start=10)).loss(**samples)["L_seg"]
    COMPONENTS.module_dict.pop("TwiceBalanced")
    assert float(twice) == pytest.approx(2 * float(plain))
