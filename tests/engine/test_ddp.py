"""Several processes train as one would: the command of the README, and interruptions."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from dupl.cli import main
from dupl.engine import build
from dupl.engine.device import choose_device
from dupl.engine.evaluation.evaluate import evaluate
from dupl.engine.evaluation.result import merge
from dupl.engine.restore import restore
from dupl.errors import UserError
from dupl.runs.run import Run

HALVES = ("--set", "schedule.images_per_loss=2")  # two losses in each step of four images


@pytest.fixture(scope="module")
def by_torchrun(tiny, tmp_path_factory, helpers):
    """Folder and output of a run of two processes, as a user starts it."""
    folder = tmp_path_factory.mktemp("torchrun") / "run"
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        helpers.free_port(),
    ]
    done = subprocess.run(
        [*torchrun, "-m", "dupl", "train", tiny, "--launcher", "pytorch", "--work-dir", str(folder), *HALVES],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


def test_it_finishes_and_writes_once(by_torchrun):
    folder, stderr = by_torchrun
    assert stderr.count("batch 4 = 2 processes x 1 loss x 2 images per loss") == 1
    run = Run(folder)
    assert (run.status.state, run.status.iteration) == ("finished", 24)
    rows = run.scalars()
    assert [row["iter"] for row in rows if "loss" in row] == list(range(2, 25, 2))
    assert [row["iter"] for row in rows if "seg/1/mIoU" in row] == [8, 16, 24]
    metrics = run.read_json("evaluation/iter_000024/metrics.json")["metrics"]
    assert metrics == {k: v for k, v in rows[-1].items() if k != "iter"}
    table = csv.DictReader(io.StringIO((folder / "evaluation/iter_000024/per_image.csv").read_text()))
    assert len({row["image"] for row in table}) == 8
    assert {f.name for f in (folder / "checkpoints").iterdir()} == {"iter_000020.pth", "iter_000024.pth", "best.pth"}


def test_an_interrupted_one_goes_on_exactly(by_torchrun, commands, tiny, tmp_path, helpers):
    folder = tmp_path / "run"
    pair = helpers.start_two(commands, "train", tiny, "--work-dir", folder, *HALVES)
    helpers.until(lambda: helpers.progress(folder) >= 6)
    os.kill(pair[1].pid, signal.SIGTERM)  # one is told, both stop
    assert [child.wait() for child in pair] == [1, 1], [child.lines() for child in pair]
    status = Run(folder).status
    assert status.state == "interrupted"
    assert status.iteration < 24, "they agree after each iteration"
    pair = helpers.start_two(commands, "train", tiny, "--work-dir", folder, "--resume", *HALVES)
    assert [child.wait() for child in pair] == [0, 0], [child.lines() for child in pair]
    assert f"resuming from iter_{status.iteration:06d}.pth" in pair[0].lines()
    assert not [line for line in pair[1].lines() if "eta" in line or "mIoU" in line or "iter_" in line]
    helpers.assert_same_run(folder, by_torchrun[0])


def test_two_processes_learn_as_one(by_torchrun, trained):
    """The mean of two gradients is the gradient of the whole batch, where a loss is a mean over images."""
    one, two = Run(trained).scalars()[0], Run(by_torchrun[0]).scalars()[0]
    assert two["L_cls"] == pytest.approx(one["L_cls"], rel=1e-3)
    assert two["lr"] == one["lr"]


def test_the_same_id_is_the_same_run_on_any_number_of_processes(by_torchrun, commands, tiny, tmp_path, helpers):
    """Four images in two losses, on one process and on two: the two gradients that are averaged are equal."""
    folder = tmp_path / "run"
    child = commands.start("train", tiny, "--work-dir", folder, *HALVES)
    assert child.wait() == 0, child.lines()
    assert Run(folder).status.fingerprint == Run(by_torchrun[0]).status.fingerprint
    states = [
        torch.load(run / "checkpoints" / "iter_000024.pth", weights_only=True)["state_dict"]
        for run in (folder, by_torchrun[0])
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert helpers.evaluations(folder).keys() == helpers.evaluations(by_torchrun[0]).keys()
    for name, text in helpers.evaluations(folder).items():
        assert text == helpers.evaluations(by_torchrun[0])[name], name
    for one, two in zip(helpers.rows(folder), helpers.rows(by_torchrun[0]), strict=True):
        assert one == pytest.approx(two, rel=1e-5, abs=1e-7)


def test_a_fork_of_two_processes_equals_two_from_scratch(commands, tiny, tmp_path, helpers):
    """Both processes begin from the checkpoint, though only the first one copies it."""
    other = ['model.noise_filter={"type": "TrustAll"}']  # acts from iteration 6 on

    def pair(name, *options, sets=()):
        children = helpers.start_two(commands, "train", tiny, "--work-dir", tmp_path / name, *options, *HALVES, *sets)
        assert [child.wait() for child in children] == [0, 0], [child.lines() for child in children]
        return tmp_path / name

    trunk = pair("trunk", "--keep-at", 6)
    forked = pair("forked", "--begin-from", trunk, sets=other)
    assert Run(forked).status.beginning.iteration == 6
    helpers.assert_same_run(forked, pair("scratch", sets=other))


def test_how_far_two_processes_are_from_one_with_the_whole_batch(by_torchrun, trained):
    """Means over the pixels of a batch are means over each part of it: close, and not equal."""
    pairs = [
        (one, two)
        for one, two in zip(Run(trained).scalars(), Run(by_torchrun[0]).scalars(), strict=True)
        if "loss" in one
    ]
    for one, two in pairs:
        assert two["loss"] == pytest.approx(one["loss"], rel=0.05)
    assert pairs[0][0]["L_cls"] == pytest.approx(pairs[0][1]["L_cls"], rel=1e-5)
    assert any(one["L_ptc"] != pytest.approx(two["L_ptc"], rel=1e-4) for one, two in pairs)


def test_parts_of_an_evaluation_merge_into_the_whole(tiny, trained):
    restored = restore(str(trained), "last", [])
    source = build.build_dataset(restored.config, "val")
    model, settings = restored.model(source.classes), restored.config.evaluation.to_dict() | {"batch_size": 1}
    whole = evaluate(model, source, settings)
    for world in (2, 3, 9):  # the last has a process without an image
        merged = merge([evaluate(model, source, settings, part=(rank, world)) for rank in range(world)], settings)
        np.testing.assert_equal(merged.metrics, whole.metrics)
        for name, tally in whole.tallies.items():
            assert np.array_equal(tally.matrix, merged.tallies[name].matrix)
            rows = [np.concatenate(t.per_image) for t in (tally, merged.tallies[name])]
            assert np.array_equal(*rows)


class TestLaunching:
    def test_several_processes_without_a_launcher_are_refused(self, tiny, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert main(["train", tiny, "--work-dir", str(tmp_path / "run")]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines == ["dupl: several processes were started, but the launcher is none: add --launcher pytorch"]
        assert not (tmp_path / "run").exists()

    def test_a_launcher_without_its_processes_is_refused(self, tiny, tmp_path, capsys):
        for launcher, told in (("pytorch", "is for torchrun"), ("slurm", "needs GPUs"), ("mpi", "needs GPUs")):
            argv = ["train", tiny, "--work-dir", str(tmp_path / "run"), "--launcher", launcher]
            assert main(argv) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert told in line

    def test_devices(self, monkeypatch):
        assert choose_device("cpu") == torch.device("cpu")
        with pytest.raises(UserError, match="choose"):
            choose_device("tpu")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert choose_device("auto") == torch.device("cpu")
        with pytest.raises(UserError, match="runtime.device=cpu"):
            choose_device("cuda")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert choose_device("auto") == torch.device("cuda", 1)

    def test_more_processes_than_losses_are_refused(self, commands, tiny, tmp_path, helpers):
        pair = helpers.start_two(commands, "train", tiny, "--work-dir", tmp_path / "run")
        assert [child.wait() for child in pair] == [2, 2]
        line = (
            "dupl: 2 processes cannot share a step of 1 loss equally "
            "(schedule.batch_size=4 / schedule.images_per_loss=4): start 1"
        )
        assert line in pair[0].lines()
        assert not (tmp_path / "run").exists()
