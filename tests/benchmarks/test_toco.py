"""The benchmark of ToCo: its commands, and the stand-in for the released extension."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """A module of the folder by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_a_reference_that_is_none_is_a_line(tmp_path):
    command = [sys.executable, str(FOLDER / "toco.py"), "--reference", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no scripts/dist_train_voc_seg_neg.py there; give a checkout" in done.stderr


def test_the_stand_in_filters_each_image_by_itself(benchmark):
    module, rng = benchmark("released_toco").extension(None), np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 3, 6, 7)).astype(np.float32)
    maps = rng.random((2, 4, 6, 7)).astype(np.float32)
    both, alone = np.zeros_like(maps).ravel(), np.zeros_like(maps[:1]).ravel()
    module.bilateralfilter_batch(images.ravel(), maps.ravel(), both, 2, 4, 6, 7, 15.0, 50.0)
    module.bilateralfilter_batch(images[1].ravel(), maps[1].ravel(), alone, 1, 4, 6, 7, 15.0, 50.0)
    assert alone.any() and np.allclose(both.reshape(2, -1)[1], alone, atol=1e-6)


def test_our_side_takes_a_step_and_writes_what_the_other_needs(benchmark, tmp_path):
    workers = benchmark("workers")
    side = benchmark("ours_toco").OursToCo(workers.CASES["micro"], "cpu", None, crop=32)
    terms = side.step(14000)
    assert {"L_cls", "L_ptc", "L_ctc", "L_seg", "L_energy", "loss"} <= terms.keys()
    layout = {
        "encoder.norm.weight": (48,),
        "proj_head_t.mlp.0.bias": (2048,),
        "proj_head.last_layer.weight_g": (1024, 1),
    }
    before = side.model.class_contrast.teachers[0].mlp[0].bias.clone()
    side.export(str(tmp_path), layout)
    torch = benchmark("torch")
    weights, batch = (torch.load(tmp_path / name) for name in ("weights.pt", "batch.pt"))
    assert weights.keys() == {"encoder.norm.weight", "proj_head_t.mlp.0.bias"}
    assert torch.equal(weights["proj_head_t.mlp.0.bias"], before) and batch["places"].shape == (2, 8, 2)
    assert {"encoder.norm.weight"} == side.gradients(14000, layout).keys()


@pytest.mark.parametrize("can", [True, False])
def test_the_row_in_bfloat16_is_left_out_where_it_would_be_emulated(benchmark, capsys, can):
    def side(method, *_, **arguments):
        said.append(arguments.get("precision"))
        answers = {"facts": {"bf16": can, "capability": "computes or emulates bfloat16"}, "weighed": ((2e9, 1e9), None)}
        return answers.get(method, ((2.0, 1.0), None))

    said = []
    benchmark("peers").speed(benchmark("toco").PEER, side, side, 1)
    out = capsys.readouterr().out
    assert out.startswith("The device computes or emulates bfloat16.")
    assert ("| training step, last phase, bf16 |" in out) is can and ("bf16" in said) is can
    assert (
        "| training step, last phase, fp32, CPU seconds | 1.00 s (1.00–1.00) | 1.00 s (1.00–1.00) | 1.00x | 0.65x |"
        in out
    )
