"""Components that keep both students on the object: values by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dupl.errors import UserError
from dupl.method.discrepancy import MappedDiscrepancy, OnePlusCosine, OrthogonalDiscrepancy
from dupl.method.dupl import DuPL
from dupl.method.network import StudentOutput, SubNet
from dupl.method.pooling import pooling_function
from dupl.method.students import DualStudent
from dupl.method.warm_start import ClassifierWarmStart, Features, NoWarmStart
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


@pytest.mark.parametrize("pooling", ["max", "topk", "lse"])
def test_pooled_evidence_is_not_the_evidence_of_pooled_features(network: dict[str, Any], pooling: str) -> None:
    torch.manual_seed(0)
    nets = [SubNet(4, **network, pooling=pooling, pooled=pooled) for pooled in ("features", "evidence")]  # type: ignore[arg-type]
    nets[1].load_state_dict(nets[0].state_dict())
    first, second = (net(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))) for net in nets)
    evidence = nets[1].class_evidence(second.features, second.aux_features)
    assert torch.allclose(second.scores, nets[1].pool(evidence[0]), atol=1e-5)
    assert torch.allclose(first.scores, nets[0].classifier(nets[0].pool(first.features)), atol=1e-5)
    assert not torch.allclose(first.scores, second.scores, atol=1e-3)


@pytest.mark.parametrize(
    "wrong", [dict(pooled="tokens"), dict(pool_share=0.0), dict(pool_sharpness=0.0), dict(pooling="median")]
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
        assert ((net.scores_of(seen, net.classifier) > 0) == tags.bool()).all()
        assert ((net.scores_of(seen, net.aux_classifier) > 0) == tags.bool()).all()
        assert net.classifier.weight.grad is None
    assert not torch.equal(students[0].classifier.weight, students[1].classifier.weight)
    assert all(torch.equal(a, b) for a, b in zip(backbone, students[0].backbone.parameters(), strict=True))


@pytest.mark.parametrize("pooled", ["features", "evidence"])
def test_students_with_equal_backbones_share_the_features(network: dict[str, Any], pooled: str) -> None:
    students = DualStudent({**network, "pooled": pooled}, num_classes=4)
    batches = [(torch.randn(2, 3, 32, 32), torch.eye(3)[:2]), (torch.randn(1, 3, 32, 32), torch.eye(3)[2:])]
    own = ClassifierWarmStart.read(students, batches)
    assert not torch.equal(own.seen[0][0], own.seen[1][0]) and torch.equal(own.tags, torch.eye(3))
    students[1].backbone.load_state_dict(students[0].backbone.state_dict())
    shared = ClassifierWarmStart.read(students, batches)
    assert shared.seen[0][0] is shared.seen[1][0] and torch.equal(shared.seen[0][0], own.seen[0][0])
    first = students[0].eval()(batches[0][0])
    assert torch.allclose(students[0].scores_of(shared.seen[0][1][:2], students[0].aux_classifier), first.aux_scores)
    assert students[1].training, "the mode is restored"


def test_no_warm_start_is_the_default(build: Callable[..., DuPL]) -> None:
    assert isinstance(build().warm_start, NoWarmStart) and NoWarmStart.null


# together


REMEDIES: dict[str, dict[str, Any]] = {
    "R2": dict(discrepancy=dict(type="OrthogonalDiscrepancy", form="squared")),
    "R3": dict(discrepancy=dict(type="OnePlusCosine", over="token")),
    "R4": dict(discrepancy=dict(type="MappedDiscrepancy")),
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
