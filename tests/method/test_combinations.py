"""Every combination of components that a table asks for, from its recipe to one optimiser step on a tiny network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import chain, combinations
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from dupl.config import catalogue, overrides
from dupl.engine.build import build_model
from dupl.engine.training.finite_guard import FiniteGuard
from dupl.engine.training.step import train_step
from dupl.errors import UserError
from dupl.method.dupl import DuPL
from dupl.structures import Clock

K, CPU = 20, torch.device("cpu")
WITHOUT: dict[str, dict[str, Any]] = {
    "DS": {"model.students": dict(type="SingleStudent")},
    "L_dis": {"model.discrepancy": dict(type="NoDiscrepancy")},
    "DTA": {"model.threshold": dict(type="FixedThreshold", value=0.7)},
    "ANF": {"model.noise_filter": dict(type="TrustAll")},
    "L_reg": {"model.consistency": dict(type="NoConsistency")},
}
ALL = frozenset(WITHOUT)
FACTORIAL = [frozenset(has) for has in chain.from_iterable(combinations(WITHOUT, n) for n in range(6))]
MEANINGLESS = [has for has in FACTORIAL if "L_dis" in has and "DS" not in has]
TABLE_4 = [frozenset(list(WITHOUT)[:n]) for n in range(6)]
LEAVE_ONE_OUT = [ALL - {name} for name in WITHOUT if name != "DS"] + [ALL - {"DS", "L_dis"}]
OWN = {"model.own_view": dict(type="OwnView", flip=0.5, scale=[0.75, 1.25])}
LOW = {"model.threshold": dict(type="FixedThreshold", value=0.5)}  # of Fig. 2 and 7a


def name_of(has: frozenset[str]) -> str:
    return "+".join(name for name in WITHOUT if name in has) or "baseline"


def lacking(has: frozenset[str]) -> dict[str, Any]:
    """Overrides that leave only these components on."""
    return {path: value for name in WITHOUT if name not in has for path, value in WITHOUT[name].items()}


@cache
def recipe(name: str) -> Config:
    return catalogue.load(name)


def tiny(name: str, changes: dict[str, Any], network: dict[str, Any]) -> DuPL:
    """A recipe's model with these overrides, on a tiny network, all that is on acting from the start."""
    config = overrides.apply(recipe(name), changes)
    model = config.model
    model.network = network
    model.segmentation.start = 0
    for part in (model.noise_filter, model.consistency):
        if "start" in part:
            part.start = 0
    if model.noise_filter.type == "MixtureFilter":
        model.noise_filter.update(min_pixels=20, eta=0.0)
    if model.consistency.type == "ConfidentConsistency":
        model.consistency.confidence = 0.0
    model.refine.update(dilations=[1, 2], iterations=2)
    model.cam_scales = [1.0, 0.5]
    built = build_model(config, K + 1, CPU)
    with torch.no_grad():  # losses of an untrained head hardly differ; noise is found where they do
        for net in built.students:
            net.head[4].weight *= 100
    return built


def step(model: DuPL) -> dict[str, float]:
    """One optimiser step in the middle of a run; every student moves, and the loss is finite before and after."""
    generator = torch.Generator().manual_seed(0)
    tags = torch.zeros(2, K)
    tags[0, [1, 4]] = tags[1, 10] = 1
    data = dict(
        image=torch.randn(2, 3, 32, 32, generator=generator),
        tags=tags,
        box=torch.tensor([[0, 32, 0, 28], [3, 29, 0, 32]]),
        seed=torch.tensor([5, 2**62]),
        name=["a", "b"],
        clock=Clock(10000, 20000),
    )
    if model.learns_from_masks:
        data["mask"] = torch.randint(0, K + 1, (2, 32, 32), generator=generator)
    before = [net.head[0].weight.detach().clone() for net in model.students]
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    guard = FiniteGuard()
    first, second = train_step(model, data, optimizer, guard), train_step(model, data, optimizer, guard)
    assert all(value.isfinite() for logs in (first, second) for value in logs.values())
    assert all(not torch.equal(b, net.head[0].weight) for b, net in zip(before, model.students, strict=True))
    return {name: float(value) for name, value in first.items()}


@pytest.mark.parametrize("name", ["voc/dupl", "voc/dupl_released"])
@pytest.mark.parametrize("has", [has for has in FACTORIAL if has not in MEANINGLESS], ids=name_of)
def test_the_factorial_steps(name: str, has: frozenset[str], network: dict[str, Any]) -> None:
    model = tiny(name, lacking(has), network)
    logs = step(model)
    assert len(model.students) == 1 + ("DS" in has)
    assert (logs["L_dis"] != 0) == ("L_dis" in has)
    assert (logs["tau_h"] < 0.699) == ("DTA" in has)
    assert (logs["pixels/filtered"] > 0) == ("ANF" in has)
    assert (logs["L_reg"] > 0) == ("L_reg" in has)
    assert logs["L_seg"] > 0 and logs["L_cls"] > 0 and logs["L_ptc"] > 0


def test_the_tables_are_in_the_factorial() -> None:
    assert len(FACTORIAL) == 32 and len(MEANINGLESS) == 8
    for rows, count in ((TABLE_4, 6), (LEAVE_ONE_OUT, 5)):
        assert len(set(rows)) == count and not set(rows) & set(MEANINGLESS) and set(rows) <= set(FACTORIAL)
    assert [name_of(has) for has in TABLE_4[:3]] == ["baseline", "DS", "DS+L_dis"] and TABLE_4[5] == ALL


@pytest.mark.parametrize("has", MEANINGLESS, ids=name_of)
def test_the_rest_of_it_is_refused(has: frozenset[str], network: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="L_dis without DS"):
        tiny("voc/dupl", lacking(has), network)


@pytest.mark.parametrize("name", ["voc/dupl", "voc/dupl_released"])
@pytest.mark.parametrize("has", [frozenset(), frozenset({"DS", "L_dis"}), ALL], ids=name_of)
def test_a_low_fixed_threshold_steps(name: str, has: frozenset[str], network: dict[str, Any]) -> None:
    logs = step(tiny(name, lacking(has) | LOW, network))
    assert logs["tau_h"] == pytest.approx(0.5)
    high = step(tiny(name, lacking(has - {"DTA"}), network))
    assert logs["pixels/undecided"] < high["pixels/undecided"]


@pytest.mark.parametrize("name", ["voc/dupl", "voc/dupl_released"])
@pytest.mark.parametrize("has", [ALL, ALL - {"L_dis"}, frozenset({"DS"})], ids=name_of)
def test_own_views_step(name: str, has: frozenset[str], network: dict[str, Any]) -> None:
    own, same = (step(tiny(name, lacking(has) | changes, network)) for changes in (OWN, {}))
    assert own["L_cls"] != same["L_cls"] and own["L_seg"] > 0
    assert (own["L_dis"] != 0) == ("L_dis" in has)


@pytest.mark.parametrize("has", [has for has in FACTORIAL if "DS" not in has and "L_dis" not in has][:2], ids=name_of)
def test_own_views_of_one_student_are_refused(has: frozenset[str], network: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="Diff. Aug without DS"):
        tiny("voc/dupl", lacking(has) | OWN, network)


def test_the_supervised_counterpart_steps(network: dict[str, Any]) -> None:
    logs = step(tiny("voc/supervised", {}, network))
    assert set(logs) == {"loss", "L_cls", "L_seg"} and logs["L_seg"] > 0


def test_without_masks_it_says_so(network: dict[str, Any], batch: Callable[..., dict[str, Any]]) -> None:
    model = tiny("voc/supervised", {}, network)
    with pytest.raises(TypeError, match="masks"):
        model(mode="loss", **batch([[0], [1]]))
