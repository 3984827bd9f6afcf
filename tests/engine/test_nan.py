"""A loss term that is not finite stops the run at once, and nothing of it is kept."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from dupl.cli import main
from dupl.engine.training import loop
from dupl.engine.training.finite_guard import FiniteGuard
from dupl.engine.training.loop import TrainLoop
from dupl.errors import RunError
from dupl.method import dupl, segmentation
from dupl.runs.run import Run


@pytest.fixture
def poisoned(monkeypatch):
    """Makes L_seg return ``value`` from a call on."""

    def poison(first: int, value: float) -> None:
        calls, forward = [0], segmentation.BalancedCrossEntropy.__call__

        def call(self, *arguments):
            calls[0] += 1
            return forward(self, *arguments) * (1 if calls[0] <= first else value)

        monkeypatch.setattr(segmentation.BalancedCrossEntropy, "__call__", call)
        monkeypatch.setattr("dupl.engine.training.train.take_trial_steps", lambda *_: None)  # it calls it too

    return poison


def train(tiny, folder, *sets) -> int:
    return main(["train", tiny, "--work-dir", str(folder), "--set", "data.val=None", *sets])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_it_names_term_and_iteration(poisoned, tiny, tmp_path, capsys, monkeypatch, value):
    poisoned(8, value)
    assert train(tiny, tmp_path / f"run{value}") == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"dupl: iteration 8: L_seg is {value:g}; training stopped")
    run = Run(tmp_path / f"run{value}")
    status = run.status
    assert (status.state, status.iteration) == ("failed", 5)
    assert f"iteration 8: L_seg is {value:g}" in status.error
    checkpoints = sorted((run.path / "checkpoints").iterdir())
    assert [f.name for f in checkpoints] == ["iter_000005.pth"]
    state = torch.load(checkpoints[0], weights_only=True)
    assert all(w.isfinite().all() for w in state["state_dict"].values())
    assert max(row["iter"] for row in run.scalars()) == 8
    assert not torch.isnan(torch.tensor([row["loss"] for row in run.scalars() if "loss" in row])).any()


def test_every_loss_of_a_step_is_watched(poisoned, tiny, tmp_path, capsys):
    poisoned(9, math.nan)  # the second half of iteration 4
    assert train(tiny, tmp_path / "halves", "schedule.images_per_loss=2") == 1
    assert "iteration 4: L_seg is nan" in capsys.readouterr().err


def test_a_failed_run_goes_on_from_its_last_checkpoint(poisoned, tiny, trained, tmp_path, monkeypatch, helpers):
    poisoned(8, math.nan)
    folder = tmp_path / "mended"
    argv = ["train", tiny, "--work-dir", str(folder)]
    assert main(argv) == 1
    monkeypatch.undo()
    assert main([*argv, "--resume"]) == 0
    helpers.assert_same_run(folder, trained)


def test_weights_that_a_gradient_spoilt_are_neither_kept_nor_judged(tiny, tmp_path, capsys, monkeypatch):
    forward = dupl.DuPL.loss

    def loss(self, **batch):
        terms = forward(self, **batch)
        if batch["clock"].t == 4:
            terms["loss"].register_hook(lambda gradient: gradient * math.nan)
        return terms

    monkeypatch.setattr(dupl.DuPL, "loss", loss)
    for name, sets in (("kept", []), ("judged", ["evaluation.interval=5", "runtime.checkpoint_interval=50"])):
        folder = tmp_path / name
        assert main(["train", tiny, "--work-dir", str(folder), "--set", "runtime.seed=0", *sets]) == 1
        assert "iteration 4: a gradient made weights nan or inf" in capsys.readouterr().err
        assert Run(folder).status.state == "failed"
        assert not (folder / "checkpoints").exists()
        assert not (folder / "evaluation").exists()


@pytest.mark.parametrize(("cuda", "part", "iteration"), [(False, 0, 7), (False, 1, 7), (True, 0, 6), (True, 1, 7)])
def test_the_iteration_is_that_of_the_term(monkeypatch, cuda, part, iteration):
    """On a GPU a micro-batch's terms are read during the next."""
    steps = iter([dict(loss=torch.ones(()))] * part)

    def train_step(model, data, optimizer, guard):
        for log in steps:
            return log
        raise FloatingPointError("L_seg is nan")

    monkeypatch.setattr(loop, "train_step", train_step)
    model = SimpleNamespace(parameters=lambda: iter([SimpleNamespace(is_cuda=cuda)]))
    training = TrainLoop.__new__(TrainLoop)
    training._runner = SimpleNamespace(model=model, optim_wrapper=None, call_hook=lambda *_, **__: None)
    training._iter, training._max_iters, training.losses = 7, 10, 2
    training.guard = None
    with pytest.raises(RunError, match=f"^iteration {iteration}: L_seg is nan"):
        training.run_iter({"name": ["a", "b"]})


def test_a_term_that_a_gpu_has_yet_to_tell_is_awaited():
    class Done:
        waited = False

        def synchronize(self):
            self.waited = True

    guard, done = FiniteGuard(), Done()
    guard.pending = (["L_cls", "L_seg"], torch.tensor([1.0, math.nan]), done)
    with pytest.raises(FloatingPointError, match=r"^L_seg is nan$"):
        guard.settle()
    assert done.waited
    guard.settle()  # told once
