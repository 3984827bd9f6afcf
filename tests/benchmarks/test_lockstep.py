"""The comparison of a released step with ours, and the steps that Pillow does in the released code."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dupl.data.toy import Toy

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Import a benchmark by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_how_far_two_steps_are_apart(module):
    lockstep = module("lockstep")

    def step(loss, grad, noisy):
        moved = {"w": torch.tensor([1.0, 0.0])}
        labels, filtered = torch.tensor([[0, 1, 2]]), torch.tensor([noisy], dtype=torch.bool)
        return lockstep.Step({"loss": loss, "L_seg": 0.0}, {"w": torch.tensor(grad)}, moved, 1e-3, [labels], [filtered])

    apart = lockstep.Apart.of(step(2.0, [3.0, 4.0], [1, 1, 0]), step(2.5, [3.0, 4.5], [1, 0, 0]))
    assert apart.terms == {"loss": 0.25, "L_seg": 0.0}
    assert apart.grads == pytest.approx([0.1]) and apart.moved == [0.0] and apart.rate == 0
    assert apart.labels == (0, 3) and apart.noisy == (2, 1, 1)
    lines = lockstep.table([apart] * 4, 4)
    assert "| filtered pixels: released, ours, differing | 2, 1, 1 | 2, 1, 1 | 4, 2, 2 |" in lines
    assert "| loss, relative | 2.5e-01 | 2.5e-01 | 2.5e-01 |" in lines
    (values,) = lockstep.table_of_values({"model.levels=round": [apart] * 4}, 4)[2:]
    assert values.startswith("| `model.levels=round` | 25 % (25 %)") and values.endswith("| 3 of 6 |")


def test_a_missing_checkout_is_told(tmp_path):
    command = [sys.executable, str(FOLDER / "lockstep.py"), "--reference", str(tmp_path)]
    command += ["--images", str(tmp_path), "--weights", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "no train_final_voc.py there" in done.stderr


def test_what_tensors_and_pillow_give(module):
    deviations = module("deviations")
    toy = Toy(size=48, count=3)
    photos = [toy.image(i) for i in range(3)]
    found = deviations.colours(photos)
    assert all(not found[name].any() for name in ("Equalize", "Posterize", "Brightness", "Sharpness"))
    assert max(found[name].max() for name in ("AutoContrast", "Color", "Contrast")) <= 1
    assert set(deviations.levels(photos).tolist()) == {0, 1}
    assert deviations.crops(photos, 32).max() <= 2
