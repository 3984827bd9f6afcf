"""The noise filter's figures in scalars.jsonl, against mixtures made by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from dupl.engine.training.noise_statistics import NoiseHook, noise_hook
from dupl.method.mixture import Mixture
from dupl.method.noise_filter import MixtureFilter, TrustAll
from dupl.runs.run import Run


def mixture(means, fitted):
    """Mixtures of as many images as there are pairs of means."""
    mean = torch.tensor(means, dtype=torch.float64)
    return Mixture(torch.full_like(mean, 0.5), mean, torch.ones_like(mean), torch.tensor(fitted))


@pytest.fixture
def watched(tmp_path):
    """A hook on two students' filter with eta = 1, and a runner."""
    run = Run.create(tmp_path / "run", "", "abc", [], 0)
    model = SimpleNamespace(students=[0, 1], noise_filter=MixtureFilter(eta=1.0))
    shown = []
    visualizer = SimpleNamespace(add_scalars=lambda row, step: shown.append((step, row)))
    return NoiseHook(run, 4, model), SimpleNamespace(iter=0, max_iters=6, rank=0, visualizer=visualizer), shown


def step(hook, runner, at, seen, filtered=0.1, supervised=0.3):
    """One iteration in which the filter says what was seen; what it says to nobody is lost."""
    runner.iter = at
    hook.before_train_iter(runner, at)
    for one in seen:
        if hook.filter.watch is not None:
            hook.filter.watch(None, None, one)
    outputs = {"pixels/filtered": torch.tensor(filtered), "pixels/supervised": torch.tensor(supervised)}
    hook.after_train_iter(runner, at, None, outputs)
    assert hook.filter.watch is None


def test_means_over_the_images_with_a_fit(watched):
    hook, runner, shown = watched
    # Two micro-batches of two images, for student 1 and then 2 each.
    seen = [
        mixture([[0.0, 2.0], [0.5, 1.0]], [True, True]),
        mixture([[1.0, 9.0], [0.0, 0.0]], [True, False]),
        mixture([[1.0, 4.0], [9.0, 9.0]], [True, False]),
        mixture([[0.0, 0.0], [0.0, 0.0]], [False, False]),
    ]
    step(hook, runner, 3, seen)
    (row,) = hook.run.scalars()
    expected = {
        "iter": 4,
        "noise/share": 0.25,
        "noise/1/mean_clean": 0.5,
        "noise/1/mean_noisy": 7 / 3,
        "noise/1/apart": 2 / 3,
        "noise/2/mean_clean": 1.0,
        "noise/2/mean_noisy": 9.0,
        "noise/2/apart": 1.0,
    }
    assert row == pytest.approx(expected, abs=1e-7)
    assert shown == [(4, {k: v for k, v in row.items() if k != "iter"})]


def test_only_where_an_interval_ends_and_the_filter_acts(watched):
    hook, runner, _ = watched
    one = mixture([[0.0, 2.0]], [True])
    for at in range(6):
        step(hook, runner, at, [one, one] if at != 3 else [])
    assert [row["iter"] for row in hook.run.scalars()] == [6], "the end of the run ends an interval"


def test_no_fit_and_no_labels(watched):
    hook, runner, _ = watched
    none = mixture([[math.nan, math.nan]], [False])
    step(hook, runner, 3, [none, none], filtered=0.0, supervised=0.0)
    assert hook.run.scalars() == [{"iter": 4, "noise/share": 0.0}]


def test_a_model_without_mixtures_has_no_hook(tmp_path):
    model = SimpleNamespace(students=[0], noise_filter=TrustAll())
    assert noise_hook(Run(tmp_path), 4, model) is None
