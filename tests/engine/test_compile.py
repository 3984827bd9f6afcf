"""Blocks compiled by torch: the same step, the same names of weights, the same run."""

import pytest
import torch

from dupl.config import catalogue, overrides
from dupl.config.fingerprint import config_id
from dupl.engine.build import build_dataset, build_model
from dupl.engine.preprocess import to_device
from dupl.errors import UserError
from dupl.structures import Clock


def config_of(tiny, backend):
    return overrides.apply(catalogue.load(tiny), {"runtime.compile": backend})


def step(model, classes):
    draw = torch.Generator().manual_seed(0)
    batch = {
        "image": torch.randn(2, 3, 32, 32, generator=draw),
        "tags": torch.eye(classes - 1)[[0, 1]],
        "box": torch.tensor([[0, 32, 0, 32]] * 2),
        "seed": torch.arange(2),
        "name": ["a", "b"],
        "clock": Clock(10, 24),
    }
    terms = model.loss(**to_device(batch, torch.device("cpu")))
    terms["loss"].backward()
    return terms, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def classes(tiny):
    return len(build_dataset(catalogue.load(tiny), "train").classes)


def test_the_step_stays_the_same(tiny, classes):
    plain = build_model(config_of(tiny, None), classes, torch.device("cpu"))
    compiled = build_model(config_of(tiny, "eager"), classes, torch.device("cpu"))
    torch._dynamo.utils.counters.clear()
    (a, grads), (b, others) = step(plain, classes), step(compiled, classes)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0  # something was compiled
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(b[name], a[name], rtol=1e-4, atol=1e-6)
    assert grads.keys() == others.keys()
    for name in grads:
        torch.testing.assert_close(others[name], grads[name], rtol=1e-4, atol=1e-6)
    assert plain.state_dict().keys() == compiled.state_dict().keys()


def test_it_is_another_run(tiny):
    """Compiled blocks round otherwise, so the weights differ."""
    assert config_id(config_of(tiny, "inductor")) != config_id(config_of(tiny, None))


def test_an_unknown_backend(tiny, classes):
    with pytest.raises(UserError, match=r"runtime.compile is 'fast': choose None or one of .*inductor"):
        build_model(config_of(tiny, "fast"), classes, torch.device("cpu"))
