"""The command for one GPU: what it would do without one, all of it at toy size, cut off and continued."""

import importlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
PIECES = ["tests", "exactness", "losses", "step", "bf16", "inductor", "graphs", "fp32-inductor", "loader", "table4"]
PLAN = """
\"\"\"Two rows of a tiny model.\"\"\"

base = {base!r}
seeds = [0]
columns = dict(M=dict(metric="cam/best/mIoU"))
vary = dict(label="tau_h(T)", paths=["model.threshold.final"], values=dict(low=0.5, base=0.55))
"""


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("gpu")


def run(*argv, timeout=1800, **env):
    command = [sys.executable, str(FOLDER / "gpu.py"), *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env={**os.environ, **env})


def test_without_a_gpu_it_prints_what_it_would_do(tmp_path):
    done = run("--out", tmp_path / "out", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "torch sees no GPU here. On a machine with one this command would do:"
    assert [line.split()[1] for line in lines if line[:1].isdigit()] == PIECES
    assert "--case vitb --batch 4 --device cuda --precision bf16 --compile cudagraphs" in done.stdout
    assert "ablate demo_table4" in done.stdout and "--gpus 0 --runs-per-gpu 6" in done.stdout
    assert not (tmp_path / "out").exists()


def test_all_of_it_at_toy_size_in_two_calls(tiny, tmp_path):
    """The second call takes the files of the first from another folder, as on another machine, and does the rest."""
    plan = tmp_path / "plan.py"
    plan.write_text(PLAN.format(base=tiny).lstrip())
    table = ["--toy", "--plan", plan, "--seeds", 0, "--minutes", 30]
    first = run(*table, "--out", tmp_path / "one", "--only", "losses", "table4")
    assert first.returncode == 0, first.stdout + first.stderr
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == ["results.json", "results.md", "table4.tar.gz"]
    with tarfile.open(tmp_path / "one/table4.tar.gz") as archive:
        names = archive.getnames()
    assert sum(name.endswith("/status.json") for name in names) == 2
    assert not any("/checkpoints" in name for name in names)

    second = run(*table, "--out", tmp_path / "two", "--continue", tmp_path / "one")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "left to do: nothing" in second.stdout
    assert "Losses" not in second.stdout and "Table 4" not in second.stdout, "both were done by the first call"
    found = json.loads((tmp_path / "two/results.json").read_text())
    assert {name: one["state"] for name, one in found["results"].items()} == dict.fromkeys(PIECES, "done")
    assert len(found["facts"]) == 2
    losses = found["results"]["losses"]["record"]
    assert losses["fp16"]["terms"]["loss"] == pytest.approx(losses["off"]["terms"]["loss"], rel=0.02)
    exact = found["results"]["exactness"]["record"]
    assert exact["deterministic"]["differ"] == [] and exact["deterministic"]["apart"] == 0
    page = (tmp_path / "two/results.md").read_text()
    assert "## Table 4 on photos, several runs on the GPU" in page and "2 runs are finished" in page


def test_a_piece_is_stopped_when_the_time_is_over_and_left_out_after_two_failures(gpu, tmp_path):
    setup = importlib.import_module("gpu_pieces").Setup(tmp_path, True, None, None, "", (), 1)

    def piece(name, code):
        command = [sys.executable, "-c", code]
        return gpu.Piece(name, name, 1, lambda setup, record: command, lambda setup, printed: printed.strip())

    slow = gpu.work(piece("slow", "import time; print('begun', flush=True); time.sleep(60)"), setup, 2)
    assert (slow.state, slow.text, slow.settled) == ("stopped", "begun", False)
    bad = [piece("bad", "raise SystemExit('no memory')"), piece("good", "print('fine')")]
    ledger = gpu.Ledger.open(tmp_path / "out", None)
    for attempts in (1, 2, 2):
        gpu.carry_out(bad, ledger, setup, gpu.time.monotonic() + 300)
        ledger = gpu.Ledger.open(tmp_path / "out", None)
        assert ledger.results["bad"].attempts == attempts
    assert ledger.results["bad"].settled and ledger.results["bad"].text == "no memory"
    assert ledger.results["good"].text == "fine"
    assert "Failed (2 of 2 attempts)" in (tmp_path / "out/results.md").read_text()


def test_a_folder_without_results_is_told(tmp_path):
    done = run("--toy", "--out", tmp_path / "out", "--continue", tmp_path)
    assert done.returncode != 0 and "there is no results.json" in done.stderr
