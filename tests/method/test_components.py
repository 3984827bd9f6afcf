"""Students, discrepancy, threshold, segmentation and consistency: starts, null partners, targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from dupl.method import equations
from dupl.method.backbone import Backbone, PointwiseLinear
from dupl.method.component import Component
from dupl.method.consistency import ConfidentConsistency, ConsistencyInputs, FilteredConsistency, NoConsistency
from dupl.method.discrepancy import LogCosineDiscrepancy, NoDiscrepancy, OnePlusCosine
from dupl.method.network import DilatedHead, StudentOutput, SubNet
from dupl.method.own_view import OwnView
from dupl.method.pixels import denormalise, normalise
from dupl.method.segmentation import BalancedCrossEntropy, CrossEntropy
from dupl.method.students import DualStudent, SingleStudent
from dupl.method.supervised import Supervised
from dupl.method.threshold import CosineDescent, FixedThreshold, PerClassCosineDescent
from dupl.registry import COMPONENTS
from dupl.structures import IGNORE, Clock

# The released targets of the 20 classes.
TARGETS = [0.7, 0.7, 0.7, 0.7, 0.55, 0.55, 0.55, 0.55, 0.7] + [0.55] * 9 + [0.7, 0.55]


def test_a_component_acts_from_its_start_on() -> None:
    part = Component(start=3)
    assert [part.active(Clock(t, 9)) for t in (0, 2, 3, 4, 9)] == [False, False, True, True, True]
    with pytest.raises(ValueError, match=r"Component\.start is -1"):
        Component(start=-1)


@pytest.mark.parametrize("name", ["NoDiscrepancy", "FixedThreshold", "TrustAll", "NoConsistency", "NoPatchContrast"])
def test_null_partners_never_act(name: str) -> None:
    part = COMPONENTS.build(dict(type=name))
    assert part.null and not any(part.active(Clock(t, 10)) for t in (0, 5, 10))


# DTA


def test_cosine_descent_is_eq_5_for_every_image() -> None:
    for t, value in ((0, 0.7), (50, 0.625), (100, 0.55), (200, 0.55)):
        tau = CosineDescent()(Clock(t, 100), torch.rand(3, 20))
        assert tau.tolist() == pytest.approx([value] * 3) and tau.shape == (3,)


def test_per_class_descent_by_hand() -> None:
    """Released: from 2k to 20k, the step over 17,999; an image takes the highest of its classes."""
    dta = PerClassCosineDescent(final=TARGETS, start=2000)
    tags = torch.zeros(4, 20)
    tags[0, 0], tags[1, [4, 19]], tags[2, [4, 18]] = 1, 1, 1  # aeroplane; bottle and tvmonitor; bottle and train
    for t in (0, 1999, 2000):
        assert dta(Clock(t, 20_000), tags).tolist() == pytest.approx([0.7] * 4)
    halfway = 0.7 - 0.15 * (1 - math.cos(math.pi * 9000 / 17_999)) / 2
    assert dta(Clock(11_000, 20_000), tags).tolist() == pytest.approx([0.7, halfway, 0.7, 0.7])
    assert abs(halfway - 0.625) < 1e-5 and halfway != 0.625, "the divisor is one less"
    for t in (19_999, 20_000, 30_000):
        assert dta(Clock(t, 20_000), tags).tolist() == pytest.approx([0.7, 0.55, 0.7, 0.7])


@given(st.integers(0, 60), st.integers(0, 20), st.integers(21, 50), st.integers(0, 10**6))
def test_per_class_descent_against_the_released_formula(t: int, start: int, T: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(5, generator=generator)
    tags = (torch.rand(4, 5, generator=generator) < 0.4).float()
    answer = PerClassCosineDescent(initial=0.7, final=targets.tolist(), start=start)(Clock(t, T), tags)
    step, steps = t - start, T - start
    share = 0.0 if step < 0 else 1.0 if step >= steps else (1 - math.cos(math.pi * step / max(steps - 1, 1))) / 2
    for b in range(4):
        per_class = [0.7 + (float(targets[c]) - 0.7) * share for c in range(5) if tags[b, c]]
        assert float(answer[b]) == pytest.approx(max(per_class, default=0.7), abs=1e-6)


def test_one_target_for_all_classes_and_a_short_run() -> None:
    one = PerClassCosineDescent(final=0.5, start=2)
    tags = torch.ones(2, 7)
    assert one(Clock(2, 3), tags).tolist() == pytest.approx([0.7, 0.7]), "a single step of descent"
    assert one(Clock(3, 3), tags).tolist() == pytest.approx([0.5, 0.5])
    assert one(Clock(0, 1), tags).isfinite().all(), "a run that ends before the descent starts"
    assert FixedThreshold(0.6)(Clock(9, 9), tags).tolist() == pytest.approx([0.6, 0.6])


@pytest.mark.parametrize(
    ("kind", "wrong", "named"),
    [
        (CosineDescent, dict(initial=1.2), "threshold.initial is 1.2"),
        (CosineDescent, dict(final=-0.1), "threshold.final"),
        (PerClassCosineDescent, dict(final=[0.5, 1.5]), r"threshold.final\[1\] is 1.5"),
        (PerClassCosineDescent, dict(start=-1), "start is -1"),
        (FixedThreshold, dict(value=2), "threshold.value"),
    ],
)
def test_wrong_thresholds_are_named(kind: type, wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        kind(**wrong)


def test_targets_must_be_as_many_as_classes() -> None:
    with pytest.raises(ValueError, match="2 values for 3 classes"):
        PerClassCosineDescent(final=[0.5, 0.6])(Clock(0, 1), torch.ones(1, 3))


# DS


def test_who_teaches_whom(network: dict[str, Any]) -> None:
    torch.manual_seed(0)
    two, one = (kind(network, num_classes=4) for kind in (DualStudent, SingleStudent))
    assert len(two) == 2 and len(one) == 1 and two[1] is list(two)[1]
    assert two.exchange(["of 1", "of 2"]) == ["of 2", "of 1"] and two.exchange(None) is None
    assert one.exchange(["of 1"]) == ["of 1"] and one.exchange(None) is None
    first, second = (dict(net.named_parameters()) for net in two)
    assert first.keys() == second.keys()
    assert not torch.equal(first["head.0.weight"], second["head.0.weight"]), "the heads start apart"
    images = torch.randn(2, 3, 32, 32)
    views = two(images)
    assert [v.logits.shape for v in views] == [(2, 4, 4, 4)] * 2
    assert [v.scores.shape for v in views] == [v.aux_scores.shape for v in views] == [(2, 3)] * 2
    assert [v.features.shape for v in views] == [v.aux_features.shape for v in views] == [(2, 32, 4, 4)] * 2
    for view, logits, net in zip(views, two.segment(images), two, strict=True):
        assert torch.allclose(view.logits, logits, atol=1e-6)
        assert torch.allclose(view.scores, net.classifier(view.features.amax((2, 3))), atol=1e-5), "global max pooling"
        assert torch.allclose(view.aux_scores, net.aux_classifier(view.aux_features.amax((2, 3))), atol=1e-5)


def test_each_student_may_see_its_own_images(network: dict[str, Any]) -> None:
    two = DualStudent(network, num_classes=4).eval()
    first, second = torch.randn(2, 1, 3, 32, 32)
    shared, own = two(first), two([first, second])
    assert torch.equal(own[0].logits, shared[0].logits) and not torch.allclose(own[1].logits, shared[1].logits)
    assert torch.equal(own[1].logits, two[1](second).logits)
    with pytest.raises(ValueError, match="zip"):
        two([first])


def test_pooling_by_mean_makes_scores_the_mean_of_the_evidence(network: dict[str, Any]) -> None:
    net = SubNet(4, **network, pooling="avg")
    view = net(torch.randn(2, 3, 32, 32))
    main, aux = net.class_evidence(view.features, view.aux_features)
    assert torch.allclose(view.scores, main.mean((2, 3)), atol=1e-5)
    assert torch.allclose(view.aux_scores, aux.mean((2, 3)), atol=1e-5)
    with pytest.raises(ValueError, match="network.pooling is 'sum'"):
        SubNet(4, **network, pooling="sum")


# L_dis


def views_of(*features: Tensor) -> list[StudentOutput]:
    return [StudentOutput(f, f, *[torch.zeros(1)] * 3) for f in features]


def test_discrepancy_over_image_or_channel() -> None:
    """One image, two channels of two patches: the channels' cosines are 1 and 0, the image's is 4 / 5."""
    f_1 = torch.tensor([[[[1.0, 1.0]], [[1.0, 0.0]]]]) * torch.tensor([2.0, 1.0]).view(1, 2, 1, 1)
    f_2 = torch.tensor([[[[1.0, 1.0]], [[0.0, 1.0]]]]) * torch.tensor([2.0, 1.0]).view(1, 2, 1, 1)
    whole = 8 / 9
    now, views = Clock(0, 1), views_of(f_1, f_2)
    assert float(OnePlusCosine(over="channel")(views, now)) == pytest.approx(2 * ((1 + 1) + (1 + 0)) / 2)
    assert float(OnePlusCosine(over="image")(views, now)) == pytest.approx(2 * (1 + whole))
    assert float(LogCosineDiscrepancy()(views, now)) == pytest.approx(-2 * math.log(1 - whole + 1e-6), rel=1e-5)
    per_channel = -(math.log(1e-6) + math.log(1 + 1e-6))
    assert float(LogCosineDiscrepancy(over="channel")(views, now)) == pytest.approx(per_channel, rel=0.02)


@pytest.mark.parametrize("kind", [LogCosineDiscrepancy, OnePlusCosine])
@pytest.mark.parametrize("over", ["image", "channel"])
def test_discrepancy_stops_the_gradient_and_starts_when_told(kind: type, over: str) -> None:
    f_1, f_2 = (torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(i)).requires_grad_() for i in (0, 1))
    part = kind(over=over, start=5)
    early = part(views_of(f_1, f_2), Clock(4, 9))
    assert early.item() == 0 and not early.requires_grad
    (gradient,) = torch.autograd.grad(part(views_of(f_1, f_2), Clock(5, 9)), f_1)
    axes = 1 if over == "image" else 2
    one_way = kind.one_way(f_1.flatten(axes), f_2.detach().flatten(axes)).mean()
    assert torch.allclose(gradient, torch.autograd.grad(one_way, f_1)[0])
    with pytest.raises(ValueError, match="discrepancy.over is 'patch'"):
        kind(over="patch")


def test_values_are_float32_before_the_start_too() -> None:
    view = views_of(torch.randn(1, 2, 2, 2, dtype=torch.bfloat16))
    for part in (OnePlusCosine(start=5), OnePlusCosine()):
        assert part(view * 2, Clock(1, 9)).dtype == torch.float32


def test_no_discrepancy() -> None:
    assert float(NoDiscrepancy()(views_of(torch.randn(1, 2, 2, 2)), Clock(0, 1))) == 0


# L_seg


def test_segmentation_sums_over_students() -> None:
    generator, now = torch.Generator().manual_seed(0), Clock(0, 1)
    P = [torch.randn(2, 3, 4, 4, generator=generator) for _ in range(2)]
    Y = [torch.randint(0, 3, (2, 4, 4), generator=generator) for _ in range(2)]
    for part, loss in (
        (CrossEntropy(), equations.cross_entropy),
        (BalancedCrossEntropy(), equations.balanced_cross_entropy),
    ):
        assert float(part(P, Y, now)) == pytest.approx(float(loss(P[0], Y[0]) + loss(P[1], Y[1])))
        assert float(part(P[:1], Y[:1], now)) == pytest.approx(float(loss(P[0], Y[0])))
        assert isinstance(part([], [], now), Tensor) and float(part([], [], now)) == 0
        with pytest.raises(ValueError, match="zip"):
            part(P, Y[:1], now)


def test_the_released_loss_counts_nothing_in_its_first_iteration() -> None:
    """Its gradients are there and zero, so that AdamW takes a step."""
    P, Y = torch.randn(1, 3, 4, 4).requires_grad_(), torch.randint(0, 3, (1, 4, 4))
    part = BalancedCrossEntropy(start=7, zero_step=True)
    first = part([P], [Y], Clock(7, 10))
    first.backward()
    assert float(first) == 0 and P.grad is not None and not P.grad.any()
    heads = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    for head, gradients in zip(heads, ([1.0], [0.0, 1.0]), strict=True):
        optimiser = torch.optim.AdamW([head], lr=1.0, weight_decay=0.0)
        for gradient in gradients:
            head.grad = torch.tensor([gradient])
            optimiser.step()
    assert float(heads[1] / heads[0]) == pytest.approx(0.744, abs=1e-3), "the heads' first step is shorter"
    assert float(part([P], [Y], Clock(8, 10))) == float(BalancedCrossEntropy(start=7)([P], [Y], Clock(7, 10))) > 0


# L_reg


def test_filtered_consistency_targets_the_discarded_pixels() -> None:
    own = torch.tensor([[[1, 2, 0, 0, IGNORE]]])  # undecided pixels decided; the last lies outside the photo
    trusted = torch.tensor([[[1, IGNORE, 0, IGNORE, IGNORE]]])
    nothing = torch.zeros(1, 3, 1, 5)
    target, mask = FilteredConsistency(start=0).target(
        ConsistencyInputs(nothing, nothing, own, trusted, target=own * 0)
    )
    assert torch.equal(target, own) and mask.tolist() == [[[False, True, False, True, False]]]


def test_confident_consistency_targets_the_own_prediction_where_it_is_sure() -> None:
    P = torch.zeros(1, 3, 1, 4)
    P[0, 2, 0, :3] = torch.tensor([10.0, math.log(18.1), math.log(17.9)])  # 0.9 is log 18
    P = P.log_softmax(1)
    taught = torch.tensor([[[IGNORE, IGNORE, IGNORE, 1]]])
    own = taught.flip(2)  # what it believes itself does not matter
    inputs = ConsistencyInputs(P.requires_grad_(), P, own, own, taught)
    target, mask = ConfidentConsistency(start=0).target(inputs)
    assert target.tolist() == [[[2, 2, 2, 0]]] and mask.tolist() == [[[True, True, False, False]]]
    assert not target.requires_grad
    _, mask = ConfidentConsistency(confidence=0.3, start=0).target(inputs)
    assert mask.tolist() == [[[True, True, True, False]]], "a labelled pixel never counts"


@pytest.mark.parametrize("part", [FilteredConsistency(start=0), ConfidentConsistency(confidence=0.0, start=0)])
def test_consistency_sums_over_students_and_pulls_the_strong_view_only(part: Component) -> None:
    generator = torch.Generator().manual_seed(0)
    students = []
    for _ in range(2):
        own = torch.randint(0, 3, (2, 4, 4), generator=generator)
        gone = torch.rand(2, 4, 4, generator=generator) < 0.4
        label = own.masked_fill(gone, IGNORE)
        weak, strong = (torch.randn(2, 3, 4, 4, generator=generator).requires_grad_() for _ in range(2))
        students.append(ConsistencyInputs(weak, strong, own, label, label))
    value = part(students)
    each = [equations.consistency(s.strong_logits, *part.target(s)) for s in students]
    assert value.item() == pytest.approx(sum(e.item() for e in each))
    value.backward()
    assert all(s.strong_logits.grad.any() and s.log_P.grad is None for s in students)
    assert float(part([])) == 0 and float(NoConsistency()(students)) == 0
    assert isinstance(part([]), Tensor)


def test_wrong_confidence_is_named() -> None:
    with pytest.raises(ValueError, match="consistency.confidence is 1.5"):
        ConfidentConsistency(confidence=1.5)


# What is not set


def test_what_is_not_set_is_as_documented() -> None:
    assert Component().start == 0
    assert [(part.over, part.start) for part in (LogCosineDiscrepancy(), OnePlusCosine())] == [
        ("image", 0),
        ("channel", 0),
    ]
    assert (CosineDescent().initial, CosineDescent().final, CosineDescent().start) == (0.7, 0.55, 0)
    per_class = PerClassCosineDescent()
    assert (per_class.initial, per_class.final, per_class.start) == (0.7, [0.55], 2000)
    assert FixedThreshold().value == 0.7
    assert (ConfidentConsistency().confidence, ConfidentConsistency().start) == (0.9, 8000)
    head = DilatedHead(6, 3)
    assert [head[i].weight.shape for i in (0, 2, 4)] == [(512, 6, 3, 3), (512, 512, 3, 3), (3, 512, 1, 1)]
    assert [(head[i].padding, head[i].dilation) for i in (0, 2)] == [((5, 5), (5, 5))] * 2
    assert all(head[i].bias is None for i in (0, 2, 4))


def test_limits_are_allowed() -> None:
    for value in (0, 1):
        assert FixedThreshold(value).value == CosineDescent(value, value).final == value
        assert PerClassCosineDescent(value, value).final == [value]
        assert ConfidentConsistency(value).confidence == value


def test_a_pixel_as_sure_as_the_confidence_is_not_surer() -> None:
    P = torch.tensor([0.0, -math.inf, -math.inf]).view(1, 3, 1, 1)
    label = torch.full((1, 1, 1), IGNORE)
    _, mask = ConfidentConsistency(confidence=1).target(ConsistencyInputs(P, P, label, label, label))
    assert not mask.any()


def test_classifiers_start_as_a_convolution_does(network: dict[str, Any]) -> None:
    """Uniform within 1 / sqrt(D), and the two of them apart."""
    net = SubNet(num_classes=401, **network)
    assert net.head[0].weight.shape == (16, 32, 3, 3) and net.head[4].weight.shape == (401, 16, 1, 1)
    for weight in (net.classifier.weight, net.aux_classifier.weight):
        assert 0.99 * 32**-0.5 < float(weight.detach().abs().max()) <= 32**-0.5
    assert not torch.equal(net.classifier.weight, net.aux_classifier.weight)
    assert net.classifier.bias is None and net.aux_classifier.bias is None


def test_own_view_as_documented_and_its_limits() -> None:
    part = OwnView()
    assert (part.flip, part.scale, part.jitter, part.hue) == (0.5, (0.75, 1.25), 0.8, 0.1)
    assert part.ranges.tolist() == [0.4, 0.4, 0.2]
    for name, most in dict(flip=1, jitter=1, brightness=1, contrast=1, saturation=1, hue=0.5).items():
        OwnView(**{name: 0})
        OwnView(**{name: most})
        for wrong in (-0.01, most + 0.01):
            with pytest.raises(ValueError, match=f"own_view.{name} is"):
                OwnView(**{name: wrong})
    OwnView(scale=(1, 1))
    for scale in ((0, 1), (1, 0.5), (1,), (0.5, 1, 2)):
        with pytest.raises(ValueError, match="own_view.scale"):
            OwnView(scale=scale)


def test_own_views_are_drawn_alike_in_every_version() -> None:
    """Of numpy's generator for (seed, 2, student): flip, scale, place; jitter, its order, its factors, hue."""
    part, size = OwnView(), (16, 24)
    seeds, images = range(7, 13), torch.rand(6, 3, *size, generator=torch.Generator().manual_seed(0))
    views = part(normalise(images), torch.tensor([[0, 16, 0, 24]] * 6), seeds, 2)
    jitters = set()
    for student, view in enumerate(views):
        for i, seed in enumerate(seeds):
            rng = np.random.default_rng([seed, 2, student])
            sign = np.array([1.0, -1.0 if rng.random() < 0.5 else 1.0])
            scale = rng.uniform(0.75, 1.25)
            place = rng.random(2) * (1 - scale) * size
            start = np.array([0, 0 if sign[1] > 0 else 24])
            assert view.warp.gain[i].tolist() == pytest.approx((sign / scale).tolist())
            assert view.warp.shift[i].tolist() == pytest.approx((start - sign * place / scale).tolist())
            picture = (images[i] * 255).round().to(torch.uint8)
            jittered, order = rng.random() < 0.8, rng.permutation(4)
            factors = [*(1 + rng.uniform(-1, 1, 3) * [0.4, 0.4, 0.2]).tolist(), rng.uniform(-0.1, 0.1)]
            steps = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
            for step in order if jittered else ():
                picture = steps[step](picture, factors[step])
            seen = view.warp.images(picture[None].repeat(6, 1, 1, 1).float())[i].round() / 255
            assert torch.allclose(denormalise(view.images[i]), seen, atol=1e-6)
            jitters.add(bool(jittered))
    assert jitters == {True, False}


# The counterpart, and weights


def test_what_the_counterpart_shows(network: dict[str, Any], batch: Callable[..., dict[str, Any]]) -> None:
    kinds = dict(
        students="SingleStudent",
        discrepancy="NoDiscrepancy",
        threshold="FixedThreshold",
        noise_filter="TrustAll",
        consistency="NoConsistency",
        segmentation="CrossEntropy",
        patch_contrast="NoPatchContrast",
        refine="NoRefinement",
        perturb="StrongPerturbation",
    )
    model = Supervised(num_classes=4, network=network, **{part: dict(type=kind) for part, kind in kinds.items()}).eval()
    samples = batch([[0, 2], [1]], 0)
    made = model.inspect(**{key: samples[key] for key in ("images", "tags", "present", "boxes", "clock")})
    ((_, logits, maps),) = model.predict(samples["images"], samples["present"])
    assert torch.equal(made.cams[0].main, maps.main) and len(made.cams) == 1 and made.labels is made.noisy is None
    pixels = F.interpolate(logits, size=(32, 32), mode="bilinear", align_corners=False).log_softmax(1)
    assert len(made.log_P) == 1 and torch.allclose(made.log_P[0], pixels, atol=1e-6)


def test_what_only_a_classifier_has_is_left_out_of_weights(tmp_path: Path) -> None:
    options = dict(img_size=32, patch_size=8, embed_dim=32, depth=1, num_heads=2)
    donor = timm.create_model("vit_tiny_patch16_224", num_classes=10, **options)
    extra = {f"{name}.weight": torch.zeros(4) for name in ("head_dist", "fc_norm")}
    torch.save(donor.state_dict() | extra, tmp_path / "weights.pth")
    made = Backbone("vit_tiny_patch16_224", weights=str(tmp_path / "weights.pth"), aux_block=-1, options=options)
    assert torch.equal(made.vit.cls_token, donor.cls_token)


def test_a_linear_layer_of_the_backbone_is_a_linear_layer() -> None:
    layer = PointwiseLinear(4, 5)
    for shape in ((4,), (3, 4), (2, 3, 4), (2, 2, 3, 4)):
        x = torch.randn(shape)
        assert torch.allclose(layer(x), F.linear(x, layer.weight, layer.bias), atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 3, 4)).dtype == torch.bfloat16
    assert layer.double()(torch.randn(2, 3, 4, dtype=torch.float64)).dtype == torch.float64
