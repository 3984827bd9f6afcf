"""The trial steps before training: they find what would fail later, and change no number."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import dupl
from dupl.config import catalogue, overrides
from dupl.engine import build
from dupl.engine.training import train as training
from dupl.engine.training.trial_step import take_trial_steps
from dupl.engine.training.validate import read_data
from dupl.errors import RunError, UserError

CPU = torch.device("cpu")


def prepared(tiny, **changes):
    config = overrides.apply(catalogue.load(tiny), {key.replace("__", "."): value for key, value in changes.items()})
    data = read_data(config)
    return config, build.build_model(config, data.view.source.classes, CPU), data


def test_training_gives_the_same_numbers_without_them(tiny, trained, tmp_path, monkeypatch, helpers):
    monkeypatch.setattr(training, "take_trial_steps", lambda *_: None)
    dupl.train(tiny, tmp_path / "run")
    helpers.assert_same_run(tmp_path / "run", trained)


def test_model_and_random_generators_stay_as_they_were(tiny):
    config, model, data = prepared(tiny)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    take_trial_steps(config, model, data)
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters()) and model.training


def test_every_component_that_starts_within_the_run_acts(tiny, monkeypatch):
    config, model, data = prepared(tiny)
    clocks = []
    monkeypatch.setattr(type(model), "loss", lambda self, clock, **_: clocks.append(clock) or {"loss": 0 * _sum(self)})
    take_trial_steps(config, model, data)
    assert [(clock.t, clock.T) for clock in clocks] == [(23, 24)]


def _sum(model):
    return sum(parameter.sum() for parameter in model.parameters())


def test_a_step_that_fails_is_one_line_and_nothing_is_written(tiny, tmp_path):
    with pytest.raises(UserError, match=r"the trial training step of 2 images failed \(pseudo_labels.py, line \d+\)"):
        dupl.train(tiny, tmp_path / "run", {"model.refine.downscale": 100})
    assert not (tmp_path / "run").exists()


def test_an_evaluation_that_fails_is_one_line(tiny, monkeypatch):
    config, model, data = prepared(tiny)

    def predict(*_, **__):
        raise ValueError("no such\nscale")

    monkeypatch.setattr(type(model), "predict", predict)
    with pytest.raises(UserError, match=r"the trial evaluation of 2 images failed \(.*\): ValueError: no such scale"):
        take_trial_steps(config, model, data)


def test_too_little_memory_is_told_as_during_training(tiny, monkeypatch):
    config, model, data = prepared(tiny)

    def loss(*_, **__):
        raise MemoryError

    monkeypatch.setattr(type(model), "loss", loss)
    with pytest.raises(RunError, match="out of memory on the CPU .*: try a smaller crop"):
        take_trial_steps(config, model, data, "a smaller crop")
