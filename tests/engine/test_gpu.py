"""What only a GPU can show: it trains and evaluates as the CPU does, and does not make the host wait.

DUPL_TEST_DEVICE=cpu runs the same tests on the CPU, where all but the last are trivial.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dupl.cli import main
from dupl.config import catalogue
from dupl.config.schema import CRF
from dupl.engine.build import build_dataset
from dupl.engine.evaluation.final import FinalProtocol
from dupl.engine.evaluation.selection import MapSelection
from dupl.engine.restore import restore
from dupl.runs.run import Run

DEVICE = os.environ.get("DUPL_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


def train(tiny, folder, *sets):
    """Train the tiny recipe on the device; return its losses."""
    assert main(["train", tiny, "--work-dir", str(folder), "--set", f"runtime.device={DEVICE}", *sets]) == 0
    return losses(folder)


def losses(folder):
    return [row["loss"] for row in Run(folder).scalars() if "loss" in row]


def test_it_learns_as_on_the_cpu(tiny, trained, tmp_path):
    found, expected = train(tiny, tmp_path / "run"), losses(trained)
    assert found[:2] == pytest.approx(expected[:2], rel=1e-3), "later steps depend on rounding more and more"
    assert found == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("precision", ["cam", "bf16", "fp16"])
def test_other_precisions_learn_as_float32(tiny, trained, tmp_path, precision):
    found = train(tiny, tmp_path / "run", f"runtime.precision={precision}")
    assert found == pytest.approx(losses(trained), rel=0.1)


@pytest.mark.parametrize("refine", [False, True])
def test_label_maps_are_those_of_the_cpu(tiny, trained, refine):
    config = catalogue.load(tiny)
    source, maps = build_dataset(config, "val"), {}
    for device in ("cpu", DEVICE):
        model = restore(str(trained), None, [f"runtime.device={device}"]).model(source.classes).eval()
        settings = dict(scales=[1.0, 1.5], over_scales="max", size=None)
        protocol = FinalProtocol(settings, MapSelection.of([], 2), CRF() if refine else None)
        found = {f.index: f.labels[protocol.name] for f in protocol.stream(model, source, range(4), 0)}
        maps[device] = np.stack([found[i][name] for i in range(4) for name in sorted(found[i])])
    assert (maps["cpu"] != maps[DEVICE]).mean() < 0.005


def test_compiled_blocks_learn_as_eager_ones(tiny, trained, tmp_path):
    backend = "inductor" if DEVICE == "cuda" else "eager"
    found = train(tiny, tmp_path / "run", f"runtime.compile={backend}")
    assert found == pytest.approx(losses(trained), rel=0.05)


def test_a_step_does_not_make_the_host_wait(monkeypatch):
    """The host may run ahead of the GPU: a step waits for it at most where the loss is checked."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    ours = importlib.import_module("ours").Ours(importlib.import_module("workers").CASES["micro"], DEVICE, None)
    ours.step()
    if DEVICE == "cuda":
        assert ours.syncs("off") <= 1
