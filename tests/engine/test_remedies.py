"""The components that keep both students on the object, by the Runner: exact resume, two processes, both precisions."""

from __future__ import annotations

import pytest
import torch

from dupl.cli import main
from dupl.method.warm_start import ClassifierWarmStart
from dupl.runs.run import Run

BASE = "demo/toy.py"  # of the fixture `recipe`
RECIPE = '''
"""A tiny DuPL on synthetic scenes with the components that keep both students on the object."""

_base_ = [{base!r}]
model = dict(
    network=dict(
        backbone=dict(options=dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)),
        head=dict(channels=16, dilation=1),
        pooling="topk",
    ),
    discrepancy=dict(_delete_=True, type="MappedDiscrepancy", start=2),
    patch_contrast=dict(start=1),
    dis_region=dict(type="ObjectTokens"),
    segmentation=dict(_delete_=True, type="CollisionCrossEntropy", start=3),
    noise_filter=dict(start=12),
    consistency=dict(start=12),
    refine=dict(dilations=[1, 2], iterations=2),
    averages=dict(type="MeanTeachers", momentum=0.9, start=2),
    detector=dict(type="ProbeDetector", interval=2, least=2, images=12, steps=5, batch=4, restarts=2),
    class_teacher=dict(type="BestPerClass"),
    warm_start=dict(type="ClassifierWarmStart", images=12, steps=5, batch=4),
)
data = dict(
    train=dict(size=32, count=24),
    val=dict(size=32, count=8),
    augment=dict(crop=32, scale=[0.8, 1.3]),
)
schedule = dict(iterations=24, batch_size=4, images_per_loss=4, warmup=3)
evaluation = dict(interval=8, size=32, batch_size=4)
runtime = dict(log_interval=2, checkpoint_interval=5, device="cpu", threads=1)
'''


def test_the_warm_start_comes_first_and_its_time_counts(recipe, tmp_path, capsys):
    seconds = {}
    for name, steps in (("short", 1), ("long", 1000)):
        change = [f"model.warm_start.steps={steps}", "schedule.iterations=1"]
        assert main(["train", recipe, "--work-dir", str(tmp_path / name), "--set", *change]) == 0
        assert "fitted before training (model.warm_start, model.detector): " in capsys.readouterr().err
        seconds[name] = Run(tmp_path / name).status.seconds
    assert seconds["long"] > seconds["short"]


def test_too_little_memory_for_the_warm_start(recipe, tmp_path, capsys, monkeypatch):
    def lack(*arguments):
        raise MemoryError

    monkeypatch.setattr(ClassifierWarmStart, "read", staticmethod(lack))
    assert main(["train", recipe, "--work-dir", str(tmp_path / "run")]) != 0
    said = " ".join(capsys.readouterr().err.split())
    assert "out of memory on the CPU (MemoryError" in said
    assert "a smaller model.warm_start.images (now 12), a smaller model.detector.images (now 12)" in said


def test_a_detector_changes_nothing_of_a_training(recipe, undisturbed, tmp_path, helpers):
    """Both kinds of detector, and none, where nothing reads it: equal weights and losses."""
    found = {}
    for name in ("MaskingDetector", "ProbeDetector", "NoDetector"):
        kind = f"model.detector={{'type': '{name}'" + ", 'interval': 2, 'least': 2}" * (name != "NoDetector")
        change = [kind + "}" * (name == "NoDetector"), "model.class_teacher.type=EachItsOwn", "schedule.iterations=12"]
        assert main(["train", recipe, "--work-dir", str(tmp_path / name), "--set", *change]) == 0
        found[name] = [
            {key: value for key, value in row.items() if key.startswith(("L_", "cam/", "seg/"))}
            for row in Run(tmp_path / name).scalars()
        ]
        measured = any(key.startswith("detector/") for row in Run(tmp_path / name).scalars() for key in row)
        assert measured == (name != "NoDetector")
    rows = [[row for row in each if row] for each in found.values()]
    assert rows[0] == rows[1] == rows[2]


def test_killed_and_resumed(commands, recipe, undisturbed, tmp_path, helpers):
    folder = tmp_path / "run"
    assert "warm start" not in helpers.kill_and_resume(commands, recipe, folder)
    helpers.assert_same_run(folder, undisturbed)


def test_two_processes_are_one_that_takes_two_losses(commands, recipe, tmp_path, helpers):
    helpers.assert_two_processes_are_one(commands, recipe, tmp_path)


def test_in_bfloat16(commands, recipe, undisturbed, tmp_path, helpers):
    folder = tmp_path / "run"
    child = commands.start("train", recipe, "--work-dir", folder, "--set", "runtime.precision=bf16")
    assert child.wait() == 0, child.lines()
    low, full = (Run(run).scalars()[0] for run in (folder, undisturbed))
    assert low["L_cls"] == pytest.approx(full["L_cls"], rel=0.05) and low["loss"] != full["loss"]
    assert all(value.dtype == torch.float32 for value in helpers.weights(folder).values())
