"""The benchmark runs on its own, and its cutter finds the pieces of a training script."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dupl.engine.precision import capability, computes_bfloat16

FOLDER = Path(__file__).parents[2] / "benchmarks"

SCRIPT = """
import argparse
import torch
from sklearn.mixture import GaussianMixture

parser = argparse.ArgumentParser()
parser.add_argument("--rate", default=0.5, type=float)
place = launcher()


def setup():
    for each in range(3):
        pass


def train(args=None):
    connect()
    model = wrap(model)
    groups = list(model.parameters())
    optim = torch.optim.SGD(groups, lr=args.rate)
    bias = torch.ones(2, device="cuda").cuda() * args.rate
    stream = loader()
    for n in range(10):
        if place == 0:
            print_progress(n)
        try:
            x, y, name = next(stream)
        except StopIteration:
            x, y, name = next(again())
        x = x.cuda()
        if n < 5:
            loss = (model(x) + bias - y).square().mean()
        else:
            losses = (model(x) - y).square().detach()
            for i in range(2):
                fit = GaussianMixture(2, random_state=0).fit(losses[i][:, None].numpy())
                y[i][losses[i] > fit.means_.max()] = 255
            loss = (model(x) - y)[y != 255].square().mean()
        optim.zero_grad()
        loss.backward()
        optim.step()
        log(loss, name)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    released = importlib.import_module("released")
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return released, released.Script(path, "cpu")


def test_the_step_is_cut_out_and_runs(script):
    import torch

    released, cut = script
    names = {"model": torch.nn.Linear(2, 2)}
    cut.execute(cut.imports(), names)
    names["args"] = cut.arguments(names)
    assert names["args"].rate == 0.5
    body, fetched = cut.step()
    assert fetched == {"x", "y", "name"}
    inputs = (fetched & released.loaded(body)) | {"n"}
    assert inputs == {"x", "y", "n"}
    ahead = cut.before(released.free(body, names) - inputs, names)
    assert [released.stored([line]) for line in ahead] == [{"groups"}, {"optim"}, {"bias"}]
    cut.execute(ahead, names)
    step = cut.function(body, inputs, names)
    before = names["model"].weight.detach().clone()
    local = step(n=0, x=torch.ones(2, 2), y=torch.zeros(2, 2))
    assert local["loss"].requires_grad and "losses" not in local
    assert not torch.equal(before, names["model"].weight)


def test_the_noise_filter_is_cut_out_and_runs(script):
    import torch

    released, cut = script
    names = {"model": torch.nn.Identity()}
    cut.execute(cut.imports(), names)
    block = cut.noise_filter()
    assert len(block) == 2 and released.free(block, names) == {"x", "y"}
    y = torch.zeros(2, 8)
    cut.function(block, {"x", "y"}, names)(x=torch.arange(16.0).view(2, 8), y=y)
    assert (y == 255).any() and not (y == 255).all()


def test_a_script_without_a_loop_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    path = tmp_path / "train.py"
    path.write_text("def train():\n    pass\n")
    with pytest.raises(SystemExit, match="no function with a training loop"):
        importlib.import_module("released").Script(path, "cpu")


def test_our_own_column(tmp_path):
    out, table = tmp_path / "speed.json", tmp_path / "speed.md"
    command = [sys.executable, str(FOLDER / "step.py"), "--case", "micro", "--rows", "step", "refine", "anf"]
    command += ["--threads", "1", "--json", str(out), "--markdown", str(table)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    case = json.loads(out.read_text())["cases"]["micro"]
    works = [row["work"] for row in case["rows"]]
    can = computes_bfloat16(torch.device("cpu"))
    assert len(works) == (8 if can else 4) and all(row["released"] is None and row["ours"] for row in case["rows"])
    parts = case["parts"]
    whole = parts.pop("whole step")
    assert 0 < whole == pytest.approx(sum(parts.values()), rel=1e-6)
    assert {"backward", "optimiser", "CAM passes", "refinement, pseudo-labels"} <= set(parts)
    assert "| part of the step, last phase, fp32 | median | share |" in table.read_text()
    assert f"The device {capability(torch.device('cpu'))}." in table.read_text()


def test_rows_that_would_be_emulated_are_left_out_and_said(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    computed = importlib.import_module("workers").computed
    facts = {"bf16": False, "capability": "emulates bfloat16 (neither AVX512-BF16 nor AMX)"}
    assert computed(["off", "cam", "bf16"], facts) == ["off"]
    assert capsys.readouterr().out.splitlines() == [
        "The device emulates bfloat16 (neither AVX512-BF16 nor AMX).",
        "Left out, as they would be emulated: cam, bf16.",
    ]
    assert computed(["off", "bf16"], {"bf16": True, "capability": "computes bfloat16 (amx_bf16)"}) == ["off", "bf16"]


def test_a_missing_checkout_is_told(tmp_path):
    command = [sys.executable, str(FOLDER / "step.py"), "--case", "micro", "--reference", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "no train_final_voc.py there" in done.stderr


def test_utilisation(tmp_path):
    out = tmp_path / "use.json"
    command = [sys.executable, str(FOLDER / "utilisation.py"), "--case", "micro", "--repeats", "1", "--threads", "1"]
    command += ["--workers", "0", "--compile", "eager", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    # 3 blocks of width 48 on 16 + 1 tokens, twice per image and more: between 0.1 and 10 GFLOP.
    assert 1e8 < found["flops"] < 1e10 and found["images_per_second"] > 0
    (variant,) = found["variants"]
    assert (
        variant["compile"] == "eager"
        and variant["best_rate"] > 0
        and set(variant["phases"])
        == {
            "first",
            "second",
            "last",
        }
    )
    assert "fp32, compiled by eager" in done.stdout
