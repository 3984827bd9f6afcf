"""Four parameter groups, the released schedule, and what is logged of it."""

from __future__ import annotations

import pytest
import torch

from dupl.config import catalogue
from dupl.engine import build
from dupl.engine.training.optimizer import WarmupPoly, build_optimizer, param_groups, rate_factor
from dupl.runs.run import Run


@pytest.fixture(scope="module")
def config(tiny):
    return catalogue.load(tiny)


@pytest.fixture(scope="module")
def model(config):
    return build.build_model(config, 7, torch.device("cpu"))


def names(model, group) -> set[str]:
    members = {id(p) for p in group["params"]}
    return {name for name, p in model.named_parameters() if id(p) in members}


def test_four_groups_hold_every_trained_parameter_once(model):
    groups = {g["name"]: g for g in param_groups(model, lr=6e-5, weight_decay=0.01, head_lr=10.0)}
    assert list(groups) == ["backbone", "norm", "classifier", "segmentation"]
    assert {n: g["lr"] for n, g in groups.items()} == pytest.approx(
        {"backbone": 6e-5, "norm": 6e-5, "classifier": 6e-4, "segmentation": 6e-4}
    )
    assert {g["weight_decay"] for g in groups.values()} == {0.01}, "norms decay too"
    members = {n: names(model, g) for n, g in groups.items()}
    assert sum(len(m) for m in members.values()) == len(set().union(*members.values()))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert set().union(*members.values()) == trained
    frozen = {name for name, p in model.named_parameters()} - trained
    assert frozen == {f"students.nets.{s}.backbone.vit.pos_embed" for s in (0, 1)}
    assert all("norm" in n for n in members["norm"])
    assert not any("norm" in n for n in members["backbone"])
    assert members["classifier"] == {
        f"students.nets.{s}.{kind}.weight" for s in (0, 1) for kind in ("classifier", "aux_classifier")
    }
    assert members["segmentation"] == {f"students.nets.{s}.head.{i}.weight" for s in (0, 1) for i in (0, 2, 4)}


def test_the_optimiser_of_a_recipe(model, config):
    wrapper = build_optimizer(model, {**config.schedule, "head_lr": 10.0}, losses=3)
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    assert wrapper._accumulative_counts == 3
    assert {g["betas"] for g in wrapper.optimizer.param_groups} == {(0.9, 0.999)}
    assert [g["lr"] for g in wrapper.optimizer.param_groups] == pytest.approx([2e-3, 2e-3, 2e-2, 2e-2])


def test_the_schedule_steps_once_an_iteration(model, config):
    wrapper = build_optimizer(model, config.schedule, 1)
    decay = WarmupPoly(wrapper, T=20000, warmup=1500, warmup_ratio=1e-6, power=0.9)
    rates = []
    for _ in range(1700):
        rates.append(wrapper.param_groups[0]["lr"] / config.schedule.lr)
        decay.step()
    assert rates == pytest.approx([rate_factor(t, 20000, 1500, 1e-6, 0.9) for t in range(1700)], rel=1e-12)
    assert rates[0] == pytest.approx(1e-6)
    assert rates[1600] * 6e-5 == pytest.approx(5.566e-5, rel=1e-4), "as the published log has it"
    again = WarmupPoly(build_optimizer(model, config.schedule, 1), 1, 1, 1.0, 1.0)
    again.load_state_dict(decay.state_dict())
    assert (again.last_step, again.T) == (1700, 20000)


def test_a_run_logs_the_rate_of_its_last_iteration(trained, config):
    s = config.schedule
    for row in Run(trained).scalars():
        if "lr" in row:
            factor = rate_factor(row["iter"] - 1, s.iterations, s.warmup, s.warmup_ratio, s.power)
            assert row["lr"] == pytest.approx(s.lr * factor, rel=1e-9)
