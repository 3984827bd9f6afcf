"""Components that keep both students on the object: values by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from dupl.errors import UserError
from dupl.method import equations
from dupl.method.cam import Maps, Present
from dupl.method.class_teacher import BestPerClass, MeanOfStudents
from dupl.method.detector import MaskingDetector, NoDetector, ProbeDetector, correlation
from dupl.method.dis_region import ObjectTokens
from dupl.method.discrepancy import MappedDiscrepancy, OnePlusCosine, OrthogonalDiscrepancy
from dupl.method.dupl import DuPL
from dupl.method.network import StudentOutput, SubNet
from dupl.method.pooling import pooling_function
from dupl.method.pseudo_labels import distributions
from dupl.method.segmentation import CollisionCrossEntropy
from dupl.method.students import DualStudent, UnlikePooling
from dupl.method.view import View
from dupl.method.warm_start import ClassifierWarmStart, Features, NoWarmStart, equal
from dupl.structures import Clock

NOW = Clock(0, 1)


def outputs_of(*features: Tensor) -> list[StudentOutput]:
    return [StudentOutput(f, f, *[torch.zeros(1)] * 3) for f in features]


# L_dis

# Two channels of two patches: the cosines of the channels are 1 and -0.6, of the patches -1 / sqrt(2) and 1 / sqrt(2).
F_1 = torch.tensor([[[[1.0, 1.0]], [[1.0, 0.0]]]])
F_2 = torch.tensor([[[[2.0, 2.0]], [[-6.0, 8.0]]]])
TOKENS = (-4 / math.sqrt(2) / math.sqrt(40), 2 / math.sqrt(68))


def test_the_cosine_may_be_taken_of_each_token() -> None:
    wanted = 2 * (1 + sum(TOKENS) / 2)
    assert float(OnePlusCosine(over="token")(outputs_of(F_1, F_2), NOW)) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("form", "over", "value"),
    [
        ("positive", "channel", (1 + 0) / 2),
        ("squared", "channel", (1 + 0.36) / 2),
        ("positive", "token", TOKENS[1] / 2),
        ("squared", "token", (TOKENS[0] ** 2 + TOKENS[1] ** 2) / 2),
        ("positive", "image", 0.0),
    ],
)
def test_orthogonal_is_the_lowest(form: Any, over: Any, value: float) -> None:
    assert float(OrthogonalDiscrepancy(form, over)(outputs_of(F_1, F_2), NOW)) == pytest.approx(2 * value, abs=1e-6)


@pytest.mark.parametrize("form", ["positive", "squared"])
def test_no_gradient_at_orthogonal_features(form: Any) -> None:
    f_1 = torch.tensor([[[[1.0]], [[0.0]]]], requires_grad=True)
    f_2 = torch.tensor([[[[0.0]], [[1.0]]]])
    OrthogonalDiscrepancy(form, "token")(outputs_of(f_1, f_2), NOW).backward()
    assert f_1.grad is not None and not f_1.grad.any()


def mapped(network: dict[str, Any], **arguments: Any) -> MappedDiscrepancy:
    part = MappedDiscrepancy(**arguments)
    part.bind(DualStudent(network, num_classes=4))
    return part


def test_the_mapping_acts_on_the_second_student_alone(network: dict[str, Any]) -> None:
    """A mapping to the negative makes equal features opposite; with a ReLU only what is negative before is kept."""
    features = torch.randn(2, 32, 2, 2, generator=torch.Generator().manual_seed(0))
    part = mapped(network)
    with torch.no_grad():
        part.mapping.weight.copy_(-torch.eye(32)[:, :, None, None])
    assert float(part(outputs_of(features, features), NOW)) == pytest.approx(0, abs=1e-5)
    part.relu = True
    kept = (-features).relu()
    wanted = OnePlusCosine(over="token")(outputs_of(features, kept), NOW)
    assert float(part(outputs_of(features, features), NOW)) == pytest.approx(float(wanted), abs=1e-6)


def test_the_mapping_learns_and_both_students_get_gradients(network: dict[str, Any]) -> None:
    part = mapped(network, form="positive", over="channel", start=3)
    f_1, f_2 = (torch.rand(1, 32, 2, 2, generator=torch.Generator().manual_seed(i)).requires_grad_() for i in (0, 1))
    assert not part(outputs_of(f_1, f_2), Clock(2, 9)).requires_grad
    part(outputs_of(f_1, f_2), Clock(3, 9)).backward()
    assert all(t.grad is not None and t.grad.abs().sum() > 0 for t in (f_1, f_2, part.mapping.weight))


def test_unknown_forms_are_named() -> None:
    with pytest.raises(ValueError, match="discrepancy.form is 'cosine'"):
        OrthogonalDiscrepancy("cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="discrepancy.form is 'cosine': choose from log, one_plus, positive, squared"):
        MappedDiscrepancy("cosine")  # type: ignore[arg-type]


# pooling


def test_pooling_by_hand() -> None:
    maps = torch.tensor([[[[4.0, 1.0], [3.0, 0.0]]]])
    assert float(pooling_function("topk", 0.5, 1.0)(maps)) == 3.5
    assert float(pooling_function("topk", 0.01, 1.0)(maps)) == 4, "at least one patch"
    assert float(pooling_function("topk", 1.0, 1.0)(maps)) == float(pooling_function("avg", 0.5, 1.0)(maps)) == 2
    wanted = math.log(sum(math.exp(2 * x) for x in (4, 1, 3, 0)) / 4) / 2
    assert float(pooling_function("lse", 0.5, 2.0)(maps)) == pytest.approx(wanted)
    assert float(pooling_function("lse", 0.5, 1e-4)(maps)) == pytest.approx(2, abs=1e-2)
    assert float(pooling_function("lse", 0.5, 1e3)(maps)) == pytest.approx(4, abs=1e-2)


@pytest.mark.parametrize("pooling", ["max", "avg", "topk", "lse"])
def test_scores_are_of_the_pooled_features(network: dict[str, Any], pooling: Any) -> None:
    net = SubNet(4, **network, pooling=pooling, pool_share=0.3, pool_sharpness=2.0)
    seen = net(torch.randn(2, 3, 32, 32))
    pool = pooling_function(pooling, 0.3, 2.0)
    assert torch.allclose(seen.scores, net.classifier(pool(seen.features)))
    assert torch.allclose(seen.aux_scores, net.aux_classifier(pool(seen.aux_features)))


@pytest.mark.parametrize("pooling", ["max", "avg", "topk", "lse"])
def test_scores_of_patches_are_pooled(network: dict[str, Any], pooling: Any) -> None:
    net = SubNet(4, **network, pooling=pooling, pool_share=0.3, pool_sharpness=2.0, pool_over="scores")
    images = torch.randn(2, 3, 32, 32)
    seen, pool = net(images), pooling_function(pooling, 0.3, 2.0)
    evidence = net.class_evidence(seen.features, seen.aux_features)
    assert torch.allclose(seen.scores, pool(evidence[0]), atol=1e-5), "a CAM shows what the score is made of"
    assert torch.allclose(seen.aux_scores, pool(evidence[1]), atol=1e-5)
    net.pool_over = "features"
    assert torch.allclose(net(images).scores, seen.scores, atol=1e-5) == (pooling == "avg")


def test_channels_of_different_patches_join_only_in_pooled_features(network: dict[str, Any]) -> None:
    """Two patches, [1, 0] and [0, 1], and a class that sums both channels: pooled features score 2, each patch 1."""
    tokens, classifier = torch.eye(2).view(1, 2, 1, 2), torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.ones_(classifier.weight)
    for over, wanted in (("features", 2.0), ("scores", 1.0)):
        net = SubNet(4, **network, pool_over=over)  # type: ignore[arg-type]
        assert net.score(classifier, net.read(tokens)).tolist() == [[wanted]]


@pytest.mark.parametrize(
    "wrong", [dict(pool_share=0.0), dict(pool_sharpness=0.0), dict(pooling="median"), dict(pool_over="maps")]
)
def test_wrong_pooling_is_named(network: dict[str, Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"network.{next(iter(wrong))} is "):
        SubNet(4, **network, **wrong)


# warm start


def test_the_warm_start_separates_what_can_be_separated(network: dict[str, Any]) -> None:
    """Features that are the tags themselves: the classifiers find them, each student by its own batches."""
    students = DualStudent(network, num_classes=4)
    tags = torch.eye(3).repeat(8, 1)
    seen = torch.nn.functional.pad(4 * tags, (0, 29))
    part = ClassifierWarmStart(steps=100, batch=8, lr=0.05)
    backbone = [p.clone() for p in students[0].backbone.parameters()]
    part.fit(students, Features([(seen, seen)] * 2, tags), seed=0)
    for net in students:
        assert ((net.classifier(seen) > 0) == tags.bool()).all()
        assert ((net.aux_classifier(seen) > 0) == tags.bool()).all()
        assert net.classifier.weight.grad is None
    assert not torch.equal(students[0].classifier.weight, students[1].classifier.weight)
    assert all(torch.equal(a, b) for a, b in zip(backbone, students[0].backbone.parameters(), strict=True))


def test_students_with_equal_backbones_share_the_features(network: dict[str, Any]) -> None:
    students = DualStudent(network, num_classes=4)
    batches = [(torch.randn(2, 3, 32, 32), torch.eye(3)[:2]), (torch.randn(1, 3, 32, 32), torch.eye(3)[2:])]
    own = ClassifierWarmStart.read(students, batches)
    assert not torch.equal(own.seen[0][0], own.seen[1][0]) and torch.equal(own.tags, torch.eye(3))
    students[1].backbone.load_state_dict(students[0].backbone.state_dict())
    shared = ClassifierWarmStart.read(students, batches)
    assert shared.seen[0][0] is shared.seen[1][0] and torch.equal(shared.seen[0][0], own.seen[0][0])
    first = students[0].eval()(batches[0][0])
    assert torch.allclose(students[0].aux_classifier(shared.seen[0][1][:2]), first.aux_scores)
    assert students[1].training, "the mode is restored"


def test_the_warm_start_fits_scores_of_patches(network: dict[str, Any]) -> None:
    """One patch in four has the class of its image: the classifiers find the patch, although they see only tags."""
    students = DualStudent(network | dict(pool_over="scores"), num_classes=4)
    tags = torch.eye(3).repeat(8, 1)
    tokens = torch.zeros(24, 32, 2, 2)
    tokens[:, 3:6] = 4  # every patch of every image has these channels
    tokens[:, :3, 0, 1] = 4 * tags
    tokens[:, 3:6, 0, 1] = 0
    ClassifierWarmStart(steps=200, batch=8, lr=0.05).fit(students, Features([(tokens, tokens)] * 2, tags), seed=0)
    for net in students:
        evidence = net.class_evidence(tokens, tokens)[0][torch.arange(24), tags.argmax(1)]
        assert (evidence[:, 0, 1] > 0).all() and (evidence.flatten(1)[:, [0, 2, 3]] < 0).all()


def test_a_warm_start_can_begin_from_small_weights(network: dict[str, Any]) -> None:
    """With a step of next to nothing the weights of both classifiers are what the fit began with."""
    students = DualStudent(network, num_classes=4)
    before = [c.weight.detach().clone() for net in students for c in (net.classifier, net.aux_classifier)]
    features = Features([(torch.randn(8, 32), torch.randn(8, 32))] * 2, torch.eye(3).repeat(3, 1)[:8])
    ClassifierWarmStart(steps=1, lr=1e-12, initial=0.01).fit(students, features, seed=0)
    after = [c.weight.detach() for net in students for c in (net.classifier, net.aux_classifier)]
    for old, new in zip(before, after, strict=True):
        assert torch.allclose(new, 0.01 * old, rtol=1e-5, atol=1e-10)


def test_the_learning_rate_of_a_warm_start_falls_by_a_cosine(
    network: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps 0 to 3 of 4 at lr 2: 2, 1 + sqrt(1/2), 1, 1 - sqrt(1/2); the constant one stays."""
    seen: list[float] = []
    take = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *given: Any) -> Any:
        seen.append(self.param_groups[0]["lr"])
        return take(self, *given)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    features = Features([(torch.randn(8, 32), torch.randn(8, 32))] * 2, torch.eye(3).repeat(3, 1)[:8])
    half = 0.5**0.5
    for schedule, wanted in (("cosine", [2, 1 + half, 1, 1 - half]), ("constant", [2, 2, 2, 2])):
        seen.clear()
        part = ClassifierWarmStart(steps=4, batch=2, lr=2.0, schedule=schedule)  # type: ignore[arg-type]
        part.fit(DualStudent(network, num_classes=4), features, seed=0)
        assert seen == pytest.approx(2 * wanted)


def test_each_class_keeps_the_best_of_several_fits(network: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two fits the first finds class 1, the second class 2, both with an evidence of 1; class 3 is found by none."""
    students = DualStudent(network | dict(pool_over="scores"), num_classes=4)
    tags = torch.eye(3).repeat(100, 1)  # more images than one batch of the losses has
    tokens = torch.zeros(300, 32, 2, 2)
    tokens[:, :3, 0, 1], tokens[:, 3:6, 1, 1] = 2 * tags - 1, 2 * tags - 1
    fits = [torch.zeros(3, 32), torch.zeros(3, 32)]
    fits[0][0, 0], fits[0][1, 1], fits[1][1, 4], fits[1][0, 3] = 1.0, -1.0, 1.0, -1.0
    made: list[int] = []

    def fit(self: ClassifierWarmStart, score: object, classifiers: Sequence[torch.nn.Linear], *_: object) -> None:
        attempt = len(made) % 2
        made.append(attempt)
        for classifier, weight in zip(classifiers, (fits[attempt], fits[1 - attempt]), strict=True):
            classifier.weight.data = weight.clone()

    monkeypatch.setattr(ClassifierWarmStart, "_fit_once", fit)
    ClassifierWarmStart(restarts=2).fit(students, Features([(tokens, tokens)] * 2, tags), seed=0)
    assert made == [0, 1, 0, 1]
    best = torch.stack([fits[0][0], fits[1][1], fits[0][2]])
    for net in students:
        assert torch.equal(net.classifier.weight.detach(), best)
        assert torch.equal(net.aux_classifier.weight.detach(), best)


def test_fits_draw_other_weights_and_batches_each_time(network: dict[str, Any]) -> None:
    """Fits of no step differ by their random weights alone, the same at every call; the first has those it finds."""
    features = Features([(torch.randn(8, 32), torch.randn(8, 32))] * 2, torch.eye(3).repeat(3, 1)[:8])
    found = []
    for restarts in (1, 6, 6):
        torch.manual_seed(0)
        students = DualStudent(network, num_classes=4)
        first = students[0].classifier.weight.detach().clone()
        ClassifierWarmStart(steps=1, lr=1e-12, initial=0.5, restarts=restarts).fit(students, features, seed=3)
        found.append(students[0].classifier.weight.detach())
        if restarts == 1:
            assert torch.allclose(found[0], 0.5 * first, atol=1e-9)
    assert torch.equal(found[1], found[2]) and not torch.equal(found[0], found[1])
    assert float(found[1].abs().max()) <= 0.5 / 32**0.5, "uniform within 1 / sqrt(channels), times 0.5"


@pytest.mark.parametrize("restarts", [1, 2])
def test_a_fit_that_diverges_is_an_error(network: dict[str, Any], restarts: int) -> None:
    """Otherwise several fits of which none is finite would leave the random weights in silence."""
    features = Features([(torch.randn(8, 32), torch.randn(8, 32))] * 2, torch.eye(3).repeat(3, 1)[:8])
    with pytest.raises(
        UserError, match=r"diverged: its weights are not finite at lr 1e\+30; lower lr of model.warm_start"
    ):
        ClassifierWarmStart(steps=30, lr=1e30, restarts=restarts).fit(
            DualStudent(network, num_classes=4), features, seed=0
        )


def test_a_warm_start_of_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(UserError, match="model.warm_start.schedule is 'linear': choose .constant. or .cosine."):
        ClassifierWarmStart(schedule="linear")  # type: ignore[arg-type]


def test_the_warm_start_keeps_patch_tokens_where_scores_are_pooled(network: dict[str, Any]) -> None:
    net = SubNet(4, **network, pool_over="scores")
    students = DualStudent(network | dict(pool_over="scores"), num_classes=4)
    seen = ClassifierWarmStart.read(students, [(torch.randn(3, 3, 32, 32), torch.eye(3))]).seen[0][0]
    assert seen.dtype == torch.float16 and seen.shape == net(torch.randn(3, 3, 32, 32)).features.shape
    with torch.autocast("cpu", torch.bfloat16):
        batches = [(torch.randn(2, 3, 32, 32), torch.eye(3)[:2]), (torch.randn(1, 3, 32, 32), torch.eye(3)[2:])]
        assert ClassifierWarmStart.read(students, batches).seen[0][0].dtype == torch.float16


def test_no_warm_start_is_the_default(build: Callable[..., DuPL]) -> None:
    assert isinstance(build().warm_start, NoWarmStart) and NoWarmStart.null


# moving averages


def step_of(model: DuPL, batch: Callable[..., dict[str, Any]], t: int) -> None:
    model.loss(**batch([[0], [1, 2]], t=t))
    with torch.no_grad():
        for net in model.students:
            net.classifier.weight.add_(1.0)
    model.after_step()


def test_averages_begin_as_the_mean_of_the_weights(
    build: Callable[..., DuPL], batch: Callable[..., dict[str, Any]]
) -> None:
    """Weights w + 1, w + 2, w + 3: their mean is w + 2; with momentum 0.5 it is half of w + 1.5 and half of w + 3."""
    for momentum, added in ((0.9, 2.0), (0.5, 2.25)):
        model = build(averages=dict(type="MeanTeachers", momentum=momentum))
        w = model.students[1].classifier.weight.detach().clone()
        for t in range(3):
            step_of(model, batch, t)
        assert torch.allclose(model.averages.nets[1].classifier.weight, w + added, atol=1e-5)
    assert not any(p.requires_grad for p in model.averages.parameters())


def test_averages_count_iterations_that_need_no_cam(
    build: Callable[..., DuPL], batch: Callable[..., dict[str, Any]]
) -> None:
    """Before L_seg starts no CAM is made, and the averages are the mean of w + 1, w + 2 and w + 3 all the same."""
    model = build(averages=dict(type="MeanTeachers"), patch_contrast=dict(type="NoPatchContrast"))
    w = model.students[0].classifier.weight.detach().clone()
    assert "tau_h" not in model.loss(**batch([[0], [1, 2]], t=0)), "there are CAMs"
    for t in range(3):
        step_of(model, batch, t)
    assert torch.allclose(model.averages.nets[0].classifier.weight, w + 2.0, atol=1e-5)


def test_labels_are_made_of_the_averages_cams(build: Callable[..., DuPL], batch: Callable[..., dict[str, Any]]) -> None:
    model = build(averages=dict(type="MeanTeachers", start=2))
    step_of(model, batch, 0)
    given = batch([[0], [1, 2]], t=12)
    images, clock = given["images"], given["clock"]
    outputs = model.forward_students(images)
    assert [net for net, _ in model.cam_sources(outputs, Clock(1, 40))] == list(model.students)
    assert [output for _, output in model.cam_sources(outputs, Clock(1, 40))] == outputs
    assert model.cam_sources(outputs, clock) == [(net, None) for net in model.averages.nets]
    first = model.inspect(images, given["tags"], given["present"], given["boxes"], clock)
    with torch.no_grad():
        model.averages.nets[0].classifier.weight.neg_()
    second = model.inspect(images, given["tags"], given["present"], given["boxes"], clock)
    assert first.cams and second.cams and first.labels and second.labels
    assert not torch.equal(first.cams[0].main, second.cams[0].main)
    assert torch.equal(first.cams[1].main, second.cams[1].main)


# the detector, and the teacher per class


class Sums(torch.nn.Module):
    """A network whose score of class k is the mean of channel k of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = torch.nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.eye(3))

    def backbone(self, images: Tensor) -> Any:
        return type("Tokens", (), {"features": images})

    def read(self, features: Tensor) -> Tensor:
        return features.mean((2, 3))

    def score(self, classifier: torch.nn.Linear, read: Tensor) -> Tensor:
        return classifier(read)


def detector(**arguments: Any) -> tuple[MaskingDetector, Any]:
    students: Any = [Sums(), Sums()]
    part = MaskingDetector(**({"interval": 1, "least": 1, "region": 0.5} | arguments))
    part.bind(students)
    return part, students


def half(value: float) -> Tensor:
    """A map (1, 1, 2, 2) whose upper half has a value, the lower half 0."""
    return torch.tensor([[[[value, value], [0.0, 0.0]]]])


def test_the_detector_by_hand() -> None:
    """Class 1 fills the upper half with 4, so that a kept upper half scores 2 and its complement 0."""
    part, students = detector()
    images = torch.zeros(1, 3, 2, 2)
    images[0, 1, 0] = 4
    present = Present.of(torch.tensor([[0.0, 1.0, 0.0]]))
    on, off = half(0.9), half(0.9).flip(2)
    views = [View(images, torch.tensor([[0, 2, 0, 2]]))] * 2
    part(students, views, [Maps(on, on), Maps(off, off)], present, Clock(0, 9))
    assert not part.mean.any(), "taken in by after_step"
    part.after_step()
    up, down = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))
    assert part.mean[:, 1].tolist() == pytest.approx([up, down]) and not part.mean[:, [0, 2]].any()
    assert part.count.tolist() == [[0, 1, 0]] * 2
    assert part.misled_on().tolist() == [[False] * 3, [False, True, False]]
    part(students, views, [Maps(off, off), Maps(off, off)], present, Clock(1, 9))
    part.after_step()
    assert part.mean[:, 1].tolist() == pytest.approx([(up + down) / 2, down]), "the mean of the first measurements"
    part.memory = 0.25
    part(students, views, [Maps(off, off), Maps(off, off)], present, Clock(2, 9))
    part.after_step()
    assert part.mean[0, 1].item() == pytest.approx(0.25 * (up + down) / 2 + 0.75 * down)


def test_equal_areas_are_kept_whatever_the_cam_looks_like() -> None:
    """Of four pixels with scores 0.9, 0.8, 0.7 and 0 a quarter is kept: the first, which shows class 0."""
    part, students = detector(region=0.25)
    images = torch.zeros(1, 3, 2, 2)
    images[0, 0, 0, 0] = 8
    cam = torch.tensor([[[[0.9, 0.8], [0.7, 0.0]]]])
    views = [View(images, torch.tensor([[0, 2, 0, 2]]))] * 2
    part(students, views, [Maps(cam, cam)] * 2, Present.of(torch.tensor([[1.0, 0.0, 0.0]])), Clock(0, 9))
    part.after_step()
    assert part.mean[0, 0].item() == pytest.approx(1 / (1 + math.exp(-2)))
    with pytest.raises(ValueError, match=r"detector.region is 0.0: give a share of the image in \(0, 1\)"):
        MaskingDetector(region=0.0)


def test_a_batch_without_tags_measures_nothing() -> None:
    """Other processes may have measured something, so that the step is taken all the same."""
    part, students = detector()
    views = [View(torch.zeros(2, 3, 2, 2), torch.tensor([[0, 2, 0, 2]] * 2))] * 2
    part(students, views, [Maps(half(0), half(0))] * 2, Present.of(torch.zeros(2, 3)), Clock(0, 9))
    assert part.measured
    part.after_step()
    assert not part.count.any() and not part.mean.any()


def test_the_detector_measures_in_its_interval_only() -> None:
    part, students = detector(interval=3, start=3)
    views = [View(torch.zeros(1, 3, 2, 2), torch.tensor([[0, 2, 0, 2]]))] * 2
    present = Present.of(torch.tensor([[1.0, 0.0, 0.0]]))
    for t, counted in ((0, 0), (2, 0), (3, 1), (4, 1), (6, 2)):
        part(students, views, [Maps(half(1), half(1))] * 2, present, Clock(t, 9))
        part.after_step()
        assert part.count[0, 0] == counted
    part(students, views, None, present, Clock(9, 9))
    part.after_step()
    assert part.count[0, 0] == 2, "there are no CAMs"
    part.least = 3
    assert not part.misled_on().any(), "too few measurements"


@pytest.mark.parametrize(("judge", "judges"), [("own", [0]), ("other", [1]), ("all", [0, 1])])
def test_who_judges(judge: Any, judges: list[int]) -> None:
    part, students = detector(judge=judge)
    assert part._judges(students, 0) == [students[i] for i in judges]


def test_correlation_is_that_of_pearson() -> None:
    one, other = torch.randn(5, 9), torch.randn(5, 9)
    wanted = [torch.corrcoef(torch.stack(rows))[0, 1].item() for rows in zip(one, other, strict=True)]
    assert correlation(one, other).tolist() == pytest.approx(wanted, abs=1e-5)
    assert abs(correlation(torch.full((1, 9), 0.3), other[:1]).item()) < 0.05, "a constant map says nothing"


def probe(network: dict[str, Any], **arguments: Any) -> tuple[ProbeDetector, DualStudent]:
    students = DualStudent(network, num_classes=4)
    part = ProbeDetector(**({"interval": 1, "least": 1} | arguments))
    part.bind(students)
    return part, students


def test_the_probe_calls_a_cam_on_the_class_sound_and_one_beside_it_misled(network: dict[str, Any]) -> None:
    """The evidence of class 1 is high in the upper half: a CAM there is like it, one below it is the opposite."""
    part, students = probe(network)
    tokens = torch.zeros(1, 32, 2, 2)
    tokens[0, 4, 0] = 3.0
    part.backbone = Reads(tokens)
    part.probe.weight[1, 4] = 0.7
    views = [View(torch.zeros(1, 3, 8, 8), torch.tensor([[0, 8, 0, 8]]))] * 2
    present = Present.of(torch.tensor([[0.0, 1.0, 0.0]]))
    on = torch.zeros(1, 1, 8, 8)
    on[..., :4, :] = 0.9
    for cam, value in ((on, 1.0), (on.flip(2), 0.0), (torch.full_like(on, 0.4), 0.5)):
        part.count.zero_()
        part(students, views, [Maps(on, on), Maps(cam, cam)], present, Clock(0, 9))
        part.after_step()
        assert part.mean[:, 1].tolist() == pytest.approx([1.0, value], abs=1e-5)
        assert part.misled_on()[:, 1].tolist() == [False, value < 0.5]


class Reads(torch.nn.Module):
    """A backbone whose patch tokens are given."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, images: Tensor) -> Any:
        return type("Tokens", (), {"features": self.tokens.expand(len(images), -1, -1, -1)})


def test_the_probe_finds_the_patch_by_tags_alone(network: dict[str, Any]) -> None:
    """One patch in four has the class of its image, as for the warm start; the students stay as they are."""
    part, students = probe(network, steps=200, batch=8, lr=0.05, restarts=2, share=0.25)
    before = {name: value.clone() for name, value in students.state_dict().items()}
    tags = torch.eye(3).repeat(8, 1)
    tokens = torch.zeros(24, 32, 2, 2)
    tokens[:, :3, 0, 1] = 4 * tags
    state = torch.random.get_rng_state()
    part.fit(students, Features([(tokens, tokens)], tags), seed=0)
    assert torch.equal(torch.random.get_rng_state(), state), "it draws by its own generator"
    own = torch.einsum("kd,ndhw->nkhw", part.probe.weight, tokens)[torch.arange(24), tags.argmax(1)]
    assert (own.flatten(1).argmax(1) == 1).all()
    assert not any(p.requires_grad for p in part.parameters())
    assert all(torch.equal(value, before[name]) for name, value in students.state_dict().items())


def test_the_probe_keeps_the_backbone_of_before_training(network: dict[str, Any]) -> None:
    part, students = probe(network)
    for parameter in students[0].backbone.parameters():  # weights that were loaded since
        parameter.data.add_(0.1)
    images = torch.randn(2, 3, 32, 32)
    features = part.read(students, [(images, torch.eye(3)[:2])])
    assert torch.allclose(features.seen[0][0].float(), students[0].eval().backbone(images).features, atol=2e-2)
    kept = part.backbone(images).features.clone()
    for parameter in students[0].backbone.parameters():
        parameter.data.mul_(2)
    assert torch.equal(part.backbone(images).features, kept)


def test_the_better_explained_cam_teaches_its_class() -> None:
    """Image 0 has classes 0 and 2, image 1 class 1, which the detector does not know yet."""
    part, _ = detector(least=3)
    part.mean.copy_(torch.tensor([[0.6, 0.9, 0.3], [0.4, 0.1, 0.7]]))
    part.count.copy_(torch.tensor([[3, 3, 3], [3, 2, 3]]))
    present = Present.of(torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    cams = [Maps(torch.full((2, 2, 1, 1), s + 0.1), torch.full((2, 2, 1, 1), s + 0.2)) for s in (0.0, 0.5)]
    first, second = BestPerClass()(cams, present, part, Clock(0, 9))
    valid = present.valid
    assert first.main[..., 0, 0][valid].tolist() == pytest.approx([0.1, 0.6, 0.1])
    assert second.main[..., 0, 0][valid].tolist() == pytest.approx([0.1, 0.6, 0.6])
    assert second.aux[..., 0, 0][valid].tolist() == pytest.approx([0.2, 0.7, 0.7])
    assert BestPerClass().margin == 0.05
    careful = BestPerClass(margin=0.3)(cams, present, part, Clock(0, 9))
    assert careful[0].main[0, :, 0, 0].tolist() == pytest.approx([0.1, 0.6])
    assert careful[1].main[0, :, 0, 0].tolist() == pytest.approx([0.6, 0.6]), "0.2 apart is too little for class 0"
    assert BestPerClass(start=5)(cams, present, part, Clock(4, 9)) is cams


def test_the_average_of_the_cams_teaches_both_students() -> None:
    present = Present.of(torch.tensor([[1.0, 0.0, 1.0]]))
    cams = [Maps(torch.tensor([[[[a]], [[b]]]]), torch.tensor([[[[b]], [[a]]]])) for a, b in ((0.2, 0.9), (0.8, 0.3))]
    made = MeanOfStudents(start=4)(cams, present, NoDetector(), Clock(4, 9))
    for maps in made:
        assert maps.main.flatten().tolist() == pytest.approx([0.5, 0.6])
        assert maps.aux.flatten().tolist() == pytest.approx([0.6, 0.5])
    assert MeanOfStudents(start=5)(cams, present, NoDetector(), Clock(4, 9)) is cams


def test_the_average_needs_two_students_of_one_view(build: Callable[..., DuPL]) -> None:
    average = dict(class_teacher=dict(type="MeanOfStudents"))
    build(**average)
    with pytest.raises(UserError, match="reads the CAMs of two students"):
        build(off=("DS", "L_dis"), **average)
    with pytest.raises(UserError, match="reads the CAMs of two students that see the same view"):
        build(own_view=dict(type="OwnView"), **average)


def test_a_teacher_per_class_needs_a_detector_and_two_students(build: Callable[..., DuPL]) -> None:
    teacher = dict(class_teacher=dict(type="BestPerClass"))
    with pytest.raises(UserError, match="reads the detector: set model.detector.type=MaskingDetector"):
        build(**teacher)
    with pytest.raises(UserError, match="reads the CAMs of two students"):
        build(off=("DS", "L_dis"), **{**REMEDIES["R10"]})
    with pytest.raises(UserError, match="reads the CAMs of two students that see the same view"):
        build(own_view=dict(type="OwnView"), **REMEDIES["R10"])
    with pytest.raises(ValueError, match="detector.judge is 'both'"):
        MaskingDetector(judge="both")  # type: ignore[arg-type]


# where L_dis acts


def test_only_patches_that_some_cam_calls_an_object_are_compared() -> None:
    """Two patches; a CAM of 2 x 4 pixels calls one pixel of the second patch undecided, in student 2 alone."""
    low, high = torch.full((1, 1, 2, 4), 0.1), torch.full((1, 1, 2, 4), 0.1)
    high[0, 0, 1, 3] = 0.3
    cams = [Maps(low, high), Maps(high, low)]
    first, second = ObjectTokens()(outputs_of(F_1, F_2), cams, 0.25)
    assert first.features.tolist() == [[[[0.0, 1.0]], [[0.0, 0.0]]]]
    assert second.features.tolist() == [[[[0.0, 2.0]], [[0.0, 8.0]]]]
    channels = OnePlusCosine(over="channel")([first, second], NOW)
    assert float(channels) == pytest.approx(2 * (1 + (1 + 0) / 2))
    assert not any(o.features.any() for o in ObjectTokens()(outputs_of(F_1, F_2), cams, 0.35))
    outputs = outputs_of(F_1, F_2)
    assert ObjectTokens()(outputs, None, 0.25) is outputs


# soft labels


def test_collision_cross_entropy_by_hand() -> None:
    """Two pixels, three classes; the third pixel has no label."""
    P = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [1 / 3] * 3]).T.reshape(1, 3, 1, 3)
    y = torch.tensor([[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.0, 0.0, 0.0]]).T.reshape(1, 3, 1, 3)
    first, second = -math.log(0.5), -math.log(0.25 * 0.1 + 0.75 * 0.8)
    plain = equations.collision_cross_entropy(P.log(), y, balanced=False)
    assert float(plain) == pytest.approx((first + second) / 2)
    halves = ((first + 0.25 * second) / 1.25, second)
    assert float(equations.collision_cross_entropy(P.log(), y)) == pytest.approx(sum(halves) / 2)
    assert float(equations.collision_cross_entropy(P.log(), 0 * y)) == 0


def test_a_uniform_label_gives_no_gradient_and_a_hard_one_that_of_cross_entropy() -> None:
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    log_P = logits.log_softmax(1)
    uniform = equations.collision_cross_entropy(log_P, torch.full((1, 3, 2, 2), 1 / 3), balanced=False)
    assert torch.autograd.grad(uniform, logits, retain_graph=True)[0].abs().max() < 1e-6
    Y = torch.tensor([[[0, 1], [2, 1]]])
    hard = torch.nn.functional.one_hot(Y, 3).permute(0, 3, 1, 2).float()
    one = equations.collision_cross_entropy(log_P, hard)
    assert torch.allclose(one, equations.balanced_cross_entropy(log_P, Y), atol=1e-6)


def test_sharpness_makes_labels_harder() -> None:
    """0.6 and 0.4 to the power of 2, normalised again: 0.36 / 0.52 and 0.16 / 0.52."""
    y = torch.tensor([0.6, 0.4]).view(1, 2, 1, 1)
    log_P = torch.tensor([0.9, 0.1]).log().view(1, 2, 1, 1)
    loss = CollisionCrossEntropy(sharpness=2.0, balanced=False)([log_P], [y], Clock(0, 9))
    assert float(loss) == pytest.approx(-math.log(0.9 * 0.36 / 0.52 + 0.1 * 0.16 / 0.52))


def test_soft_labels_are_distributions_over_all_classes(
    build: Callable[..., DuPL], batch: Callable[..., dict[str, Any]]
) -> None:
    model = build(segmentation=dict(type="CollisionCrossEntropy", start=10))
    given = batch([[0], [1, 2]], t=12, boxes=[[0, 32, 0, 32], [0, 16, 0, 32]])
    names = ("images", "tags", "present", "boxes", "clock")
    made = model.inspect(*(given[name] for name in names))
    assert made.labels and made.noisy
    noisy = torch.zeros_like(made.noisy[0])
    noisy[0, 0, 0] = True
    full = distributions(made.labels[0], noisy, given["present"], 4)
    wanted = torch.ones(2, 32, 32)
    wanted[0, 0, 0] = wanted[1, 16:] = 0
    assert torch.allclose(full.sum(1), wanted, atol=1e-4)
    assert not full[0, 2:].any() and not full[1, 1].any(), "classes that the image has not"
    sure = (made.labels[0].hard != 255) & ~noisy
    assert torch.equal(full.argmax(1)[sure & (full.amax(1) > 0.5)], made.labels[0].hard[sure & (full.amax(1) > 0.5)])
    swapped = model.seg_targets(None, made.labels, [noisy, noisy], given["present"])
    assert swapped is not None and torch.equal(swapped[1], full), "student 2 learns from student 1"
    with pytest.raises(UserError, match="Diff. Aug with soft labels"):
        build(own_view=dict(type="OwnView"), segmentation=dict(type="CollisionCrossEntropy"))


# two backbones


def second(**options: Any) -> dict[str, Any]:
    sizes = dict(img_size=32, patch_size=8, embed_dim=48, depth=4, num_heads=2) | options
    return dict(students=dict(type="UnlikeStudents", second=dict(name="vit_tiny_patch16_224", options=sizes)))


def test_two_backbones_have_the_same_fit(build: Callable[..., DuPL]) -> None:
    """Otherwise the strong view of L_reg would have a side that one of them cannot read."""
    students = second()["students"]
    students["second"]["fit"] = "drop"
    with pytest.raises(UserError, match="second.fit is 'drop' and model.network.backbone.fit is 'round'"):
        build(students=students)


def test_students_with_two_backbones_train(build: Callable[..., DuPL], batch: Callable[..., dict[str, Any]]) -> None:
    model = build(**second(), discrepancy=dict(type="MappedDiscrepancy"))
    assert [net.backbone.dim for net in model.students] == [32, 48]
    assert [len(net.backbone.vit.blocks) for net in model.students] == [3, 4]
    losses = model.loss(**batch([[0], [1, 2]], t=30))
    losses["loss"].backward()
    assert all(value.isfinite() for value in losses.values()) and float(losses["L_dis"]) > 0


# two ways of pooling


def test_students_that_pool_differently(build: Callable[..., DuPL], batch: Callable[..., dict[str, Any]]) -> None:
    model = build(students=dict(type="UnlikePooling", pool_share=0.25), averages=dict(type="MeanTeachers"))
    for nets in (model.students, model.averages.nets):
        assert [net.pool_over for net in nets] == ["features", "scores"]
        assert [net.cam_relu for net in nets] == [True, False]
    model.students[1].load_state_dict(model.students[0].state_dict())
    one, other = model.forward_students(torch.randn(2, 3, 32, 32))
    assert torch.equal(one.features, other.features) and not torch.allclose(one.scores, other.scores)
    losses = model.loss(**batch([[0], [1, 2]], t=30))
    losses["loss"].backward()
    assert all(value.isfinite() for value in losses.values())
    with pytest.raises(ValueError, match="network.pool_over is 'maps'"):
        build(students=dict(type="UnlikePooling", pool_over="maps"))


def test_backbones_that_give_other_blocks_are_not_equal(network: dict[str, Any]) -> None:
    """The auxiliary classifier of each student is fitted to the block that this student reads."""
    one, other = UnlikePooling(network, num_classes=4)
    other.backbone.load_state_dict(one.backbone.state_dict())
    assert equal(one.backbone, other.backbone)
    other.backbone.blocks_read = [1]
    assert not equal(one.backbone, other.backbone)


def test_the_warm_start_reads_equal_backbones_once_for_both(network: dict[str, Any]) -> None:
    """Equal backbones run once; the first student keeps pooled features, the second all patch tokens."""
    students = UnlikePooling(network, num_classes=4)
    students[1].backbone.load_state_dict(students[0].backbone.state_dict())
    passes = []
    for net in students:
        net.backbone.register_forward_hook(lambda *_: passes.append(1))
    first, second_ = ClassifierWarmStart.read(students, [(torch.randn(2, 3, 32, 32), torch.eye(3)[:2])]).seen
    assert len(passes) == 1
    assert first[0].shape == (2, 32) and second_[0].ndim == 4
    assert torch.allclose(first[0], second_[0].float().amax((2, 3)), atol=1e-2), "the same tokens, in float16"


def test_backbones_that_do_not_fit_are_refused(build: Callable[..., DuPL]) -> None:
    with pytest.raises(UserError, match="L_dis compares features of 32 and 48 channels"):
        build(**second())
    build(**second(), discrepancy=dict(type="NoDiscrepancy"))
    with pytest.raises(UserError, match="second has patches of 16 px and model.network.backbone of 8 px"):
        build(**second(patch_size=16), discrepancy=dict(type="NoDiscrepancy"))


# together


REMEDIES: dict[str, dict[str, Any]] = {
    "R2": dict(discrepancy=dict(type="OrthogonalDiscrepancy", form="squared")),
    "R3": dict(discrepancy=dict(type="OnePlusCosine", over="token")),
    "R4": dict(discrepancy=dict(type="MappedDiscrepancy")),
    "R5": dict(averages=dict(type="MeanTeachers", momentum=0.9)),
    "R7": dict(dis_region=dict(type="ObjectTokens")),
    "R8": dict(own_view=dict(type="OwnView"), discrepancy=dict(type="NoDiscrepancy")),
    "R9": dict(segmentation=dict(type="CollisionCrossEntropy", start=10)),
    "R10": dict(detector=dict(type="MaskingDetector", interval=2, least=1), class_teacher=dict(type="BestPerClass")),
    "probe": dict(detector=dict(type="ProbeDetector", interval=2, least=1), class_teacher=dict(type="BestPerClass")),
    "mean of students": dict(class_teacher=dict(type="MeanOfStudents")),
}


@pytest.mark.parametrize("name", REMEDIES)
@pytest.mark.parametrize("precision", ["off", "bf16"])
def test_every_remedy_trains_in_both_precisions(
    build: Callable[..., DuPL], batch: Callable[..., dict[str, Any]], name: str, precision: str
) -> None:
    model = build(precision=precision, **REMEDIES[name])
    for t in (0, 12, 30):
        losses = model.loss(**batch([[0], [1, 2]], t=t))
        losses["loss"].backward()
        assert all(value.isfinite() and value.dtype == torch.float32 for value in losses.values())
        model.after_step()


def test_l_dis_needs_two_students_in_every_form(build: Callable[..., DuPL]) -> None:
    with pytest.raises(UserError, match="L_dis without DS"):
        build(off=("DS",), **REMEDIES["R4"])


FURTHER_LOSSES = {"L_l2c": ("label_to_cam", "LabelToCam"), "L_abs": ("absent", "AbsentClasses")}


@pytest.mark.parametrize("term", FURTHER_LOSSES)
def test_a_further_loss_counts_from_its_start_on(
    build: Callable[..., DuPL], batch: Callable[..., dict[str, Any]], term: str
) -> None:
    slot, name = FURTHER_LOSSES[term]
    model = build(**{slot: dict(type=name, start=20)}, weights={term[2:]: 0.7})
    plain = build()
    plain.load_state_dict(model.state_dict())
    for t in (0, 15, 25):
        with_it, without = model.loss(**batch([[0], [1, 2]], t=t)), plain.loss(**batch([[0], [1, 2]], t=t))
        assert (term in with_it) == (t == 25) and term not in without
        extra = 0.7 * float(with_it[term]) if t == 25 else 0.0
        assert float(with_it["loss"].detach()) == pytest.approx(float(without["loss"].detach()) + extra, rel=1e-6)
        assert t != 25 or float(with_it[term]) > 0


@pytest.mark.parametrize("term", FURTHER_LOSSES)
@pytest.mark.parametrize("further", [{}, REMEDIES["R8"]])
@pytest.mark.parametrize("precision", ["off", "bf16"])
def test_a_further_loss_trains(
    build: Callable[..., DuPL],
    batch: Callable[..., dict[str, Any]],
    term: str,
    further: dict[str, Any],
    precision: str,
) -> None:
    slot, name = FURTHER_LOSSES[term]
    model = build(precision=precision, **{slot: dict(type=name)}, **further)
    for t in (0, 12, 30):
        losses = model.loss(**batch([[0], [1, 2]], t=t))
        losses["loss"].backward()
        assert all(value.isfinite() and value.dtype == torch.float32 for value in losses.values())
    assert term in losses
