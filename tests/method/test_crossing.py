"""Components inside the methods of other papers, from the recipe to a step of the optimiser, or refused in a line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE
from dupl.engine.build import build_model, contrast_augment
from dupl.engine.training.finite_guard import FiniteGuard
from dupl.engine.training.step import train_step
from dupl.errors import UserError
from dupl.method.base import Method
from dupl.structures import Clock

K, CPU = 6, torch.device("cpu")
CTC = {
    "model.class_contrast": dict(
        type="ClassTokenContrast", crop_size=8, crops=3, projector=dict(hidden=8, bottleneck=4, out=6)
    )
}
ENERGY = {"model.dense_energy": dict(type="DenseEnergy", scale=1e-3)}
EMA = {"model.averages": dict(type="MeanTeachers", momentum=0.9)}
DS = {"model.students": dict(type="DualStudent")}
DIS = {"model.discrepancy": dict(type="OnePlusCosine")}
DTA = {"model.threshold": dict(type="CosineDescent")}
ANF = {"model.noise_filter": dict(type="MixtureFilter", start=0, min_pixels=20, eta=0.0, fit_on="foreground")}
REG = {
    "model.consistency": dict(type="FilteredConsistency", start=0),
    "model.perturb": dict(type="StrongPerturbation", ops=2),
}
PTC = {"model.patch_contrast": dict(type="PatchTokenContrast")}
QUEUE = {"model.cam_queue": dict(type="QueueMixture", images=4, side=4)}
CROSSINGS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "DuPL, class tokens": ("demo/toy", CTC, {"L_ctc"}),
    "DuPL, dense energy": ("demo/toy", ENERGY, {"L_energy"}),
    "DuPL, both terms of ToCo": ("demo/toy", CTC | ENERGY, {"L_ctc", "L_energy"}),
    "DuPL, EMA teachers": ("demo/toy", EMA, set()),
    "DuPL, EMA teachers and class tokens": ("demo/toy", EMA | CTC, {"L_ctc"}),
    "ToCo, two students": ("demo/toco", DS, set()),
    "ToCo, L_dis": ("demo/toco", DS | DIS, {"L_dis"}),
    "ToCo, DTA": ("demo/toco", DS | DTA, {"DTA"}),
    "ToCo, ANF": ("demo/toco", DS | ANF, {"ANF"}),
    "ToCo, L_reg": ("demo/toco", DS | REG, {"L_reg"}),
    "ToCo, all of DuPL": ("demo/toco", DS | DIS | DTA | ANF | REG, {"L_dis", "L_reg", "DTA", "ANF"}),
    "ToCo, one student with ANF, DTA, L_reg": ("demo/toco", DTA | ANF | REG, {"L_reg", "DTA", "ANF"}),
    "ToCo, EMA teacher": ("demo/toco", EMA, set()),
    "ToCo, two students with EMA teachers": ("demo/toco", DS | EMA | DIS, {"L_dis"}),
    "CoSA, class tokens": ("demo/cosa", CTC, {"L_ctc"}),
    "CoSA, patch tokens": ("demo/cosa", PTC, {"L_ptc"}),
    "CoSA, both terms of ToCo": ("demo/cosa", CTC | PTC, {"L_ctc", "L_ptc"}),
    "CoSA, DTA and ANF": ("demo/cosa", DTA | ANF, {"DTA", "ANF"}),
    "CoSA, queue and class tokens": ("demo/cosa", QUEUE | CTC, {"L_ctc"}),
}


def recipe(name: str, changes: dict[str, Any], network: dict[str, Any]) -> Config:
    """The recipe on a tiny network, with everything that is on acting from the start."""
    config = overrides.apply(catalogue.load(name), changes, RECIPE)
    config.model.network, config.model.cam_scales = network, [1.0, 0.5]
    for part in config.model.values():
        if isinstance(part, dict) and "start" in part:
            part.start = 0
    if "class_contrast" in config.model and config.model.class_contrast.type == "ClassTokenContrast":
        config.model.class_contrast = CTC["model.class_contrast"]
    return config


def steps(model: Method, config: Config) -> dict[str, float]:
    """Two steps of the optimiser; the terms of the second, and whether every trained weight that has to moved."""
    generator = torch.Generator().manual_seed(0)
    tags = torch.zeros(2, K)
    tags[0, [1, 4]] = tags[1, 2] = 1
    data = dict(
        image=torch.randn(2, 3, 32, 32, generator=generator),
        tags=tags,
        box=torch.tensor([[0, 32, 0, 28], [3, 29, 0, 32]]),
        seed=torch.tensor([5, 2**62]),
        name=["a", "b"],
    )
    if contrast_augment(config) is not None:
        data |= {name: torch.randn(2, 3, 32, 32, generator=generator) for name in ("other_view", "local_source")}
    with torch.no_grad():  # losses of an untrained head hardly differ; noise is found where they do
        for net in model.students:
            net.head[4].weight *= 100
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in trained.items()}
    optimizer, guard = OptimWrapper(torch.optim.AdamW(list(trained.values()), lr=1e-3, weight_decay=0)), FiniteGuard()
    for t in (5000, 5001):
        logs = train_step(model, data | dict(clock=Clock(t, 10000)), optimizer, guard)
        model.after_step()
    assert all(value.isfinite() for value in logs.values())
    for part in ("head.0", "classifier", "backbone.vit.blocks.0", "projectors.0"):
        there = [name for name in trained if part in name and name.endswith("weight")]
        assert there or part == "projectors.0"
        assert all(not torch.equal(before[name], trained[name]) for name in there if "norm" not in name), part
    return {name: float(value) for name, value in logs.items()}


@pytest.mark.parametrize("kind", CROSSINGS)
def test_a_component_of_another_method_trains(kind: str, network: dict[str, Any]) -> None:
    name, changes, expected = CROSSINGS[kind]
    config = recipe(name, changes, network)
    logs = steps(build_model(config, K + 1, CPU), config)
    own = {"demo/toy": {"L_ptc", "L_dis", "L_reg"}, "demo/toco": {"L_ptc", "L_ctc", "L_energy"}}
    for term in own.get(name, {"L_s2c", "L_energy"}) | {"L_cls", "L_seg"} | {e for e in expected if e[:2] == "L_"}:
        assert logs[term] < 0 if term == "L_energy" else logs[term] > 0, term
    if "DTA" in expected:
        assert logs["tau_h"] < 0.699
    if "ANF" in expected:
        assert logs["pixels/filtered"] > 0


def test_both_students_learn_from_averages(network: dict[str, Any]) -> None:
    """The teacher of each student is the average of the other one, inside DuPL and inside a dual ToCo."""
    for name, more in (("demo/toy", {}), ("demo/toco", DS)):
        model = build_model(recipe(name, more | EMA, network), K + 1, CPU)
        assert model.students.teacher_of == (1, 0) and len(model.averages.nets) == 2
        outputs = model.forward_students(torch.zeros(1, 3, 32, 32))
        assert [net for net, _ in model.cam_sources(outputs, Clock(9, 10))] == list(model.averages.nets)
        assert [net for net, _ in model.cam_sources(outputs, Clock(0, 10))] == list(model.students)


def test_cosas_class_tokens_are_of_the_online_network(network: dict[str, Any]) -> None:
    """Student 2 is an average, which has no projector; the views are made because the contrast is on."""
    config = recipe("demo/cosa", CTC, network)
    model = build_model(config, K + 1, CPU)
    assert len(model.class_contrast.projectors) == len(model.class_contrast.teachers) == 1
    assert contrast_augment(config) is not None and contrast_augment(recipe("demo/cosa", {}, network)) is None
    late = build_model(recipe("demo/cosa", CTC, network), K + 1, CPU)
    late.class_contrast.start = 9
    data = dict(
        images=torch.zeros(1, 3, 32, 32), tags=torch.ones(1, K), boxes=torch.tensor([[0, 32, 0, 32]]), seeds=[0]
    )
    from dupl.method.cam import Present

    given = data | dict(present=Present.of(data["tags"]))
    assert late.loss(**given, clock=Clock(0, 10))["L_ctc"] == 0
    with pytest.raises(UserError, match="L_ctc needs further views of the images"):
        late.loss(**given, clock=Clock(9, 10))


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("demo/cosa", DS, "CoSA does not train DualStudent: set model.students.type=OnlineAssigned"),
        ("demo/cosa", DIS, "model has no 'discrepancy'"),
        ("demo/cosa", REG, "model has no 'consistency'"),
        ("demo/cosa", EMA, "model has no 'averages'"),
        ("demo/toco", DIS, "L_dis without DS"),
        ("demo/toco", {"model.consistency": dict(type="FilteredConsistency")}, "L_reg without a strong augmentation"),
        ("demo/toco", {"model.own_view": dict(type="OwnView")}, "model has no 'own_view'"),
        ("demo/toco", QUEUE, "model has no 'cam_queue'"),
        ("demo/toy", QUEUE, "model has no 'cam_queue'"),
        ("demo/toy", {"model.seg_to_cam": dict(type="SegToCam")}, "model has no 'seg_to_cam'"),
        ("demo/toy", {"model.students": dict(type="OnlineAssigned")}, "DuPL does not train OnlineAssigned"),
        ("demo/toy", CTC | {"model.own_view": dict(type="OwnView")}, "Diff. Aug with L_ctc"),
        ("demo/supervised", CTC, "Supervised learns from masks and cannot use model.class_contrast="),
    ],
)
def test_what_means_nothing_is_refused_in_a_line(
    name: str, changes: dict[str, Any], words: str, network: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as refused:
        build_model(recipe(name, changes, network), K + 1, CPU)
    assert words in str(refused.value) and "\n" not in str(refused.value), json.dumps(str(refused.value))
