"""ToCo by the same Runner: exact resume, any number of workers, two processes, both precisions."""

from __future__ import annotations

import pytest
import torch

from dupl.cli import main
from dupl.runs.run import Run

BASE = "demo/toco.py"  # of the fixture `recipe`
RECIPE = '''
"""A tiny ToCo on synthetic scenes: every term starts within the first iterations."""

_base_ = [{base!r}]
model = dict(
    network=dict(
        backbone=dict(options=dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)),
        head=dict(channels=16, dilation=1),
    ),
    patch_contrast=dict(start=1),
    class_contrast=dict(start=2, crop_size=8, crops=3, projector=dict(hidden=16, bottleneck=8, out=12)),
    segmentation=dict(start=3),
    dense_energy=dict(start=4),
    refine=dict(dilations=[1, 2], iterations=2),
)
data = dict(
    train=dict(size=32, count=24),
    val=dict(size=32, count=8),
    augment=dict(crop=32, scale=[0.8, 1.3], jitter=0.8),
    contrast_augment=dict(local_blur=0.5, solarize=0.2),
)
schedule = dict(iterations=24, batch_size=4, images_per_loss=4, warmup=3)
evaluation = dict(interval=8, size=32, batch_size=4)
runtime = dict(log_interval=2, checkpoint_interval=5, device="cpu", threads=1)
'''


def test_every_term_is_on_and_the_teacher_follows(undisturbed, helpers):
    rows = [row for row in Run(undisturbed).scalars() if "loss" in row]
    for term in ("L_cls", "L_ptc", "L_ctc", "L_seg"):
        assert all(row[term] > 0 for row in rows[-3:]), term
    assert all(row["L_energy"] < 0 for row in rows[-3:])
    weights = helpers.weights(undisturbed)
    student, teacher = (weights[f"class_contrast.{kind}.0.mlp.0.weight"] for kind in ("projectors", "teachers"))
    assert not torch.equal(student, teacher) and torch.allclose(student, teacher, atol=0.1)


def test_workers_change_nothing(commands, recipe, undisturbed, tmp_path, helpers):
    child = commands.start("train", recipe, "--work-dir", tmp_path / "run", "--set", "runtime.workers=2")
    assert child.wait() == 0, child.lines()
    helpers.assert_same_run(tmp_path / "run", undisturbed)


def test_killed_and_resumed(commands, recipe, undisturbed, tmp_path, helpers):
    folder = tmp_path / "run"
    helpers.kill_and_resume(commands, recipe, folder)
    helpers.assert_same_run(folder, undisturbed)


def test_two_processes_are_one_that_takes_two_losses(commands, recipe, tmp_path, helpers):
    """The moving average is updated once a step, however many losses the step has and on however many processes."""
    helpers.assert_two_processes_are_one(commands, recipe, tmp_path)
    assert Run(tmp_path / "one").status.fingerprint == Run(tmp_path / "two").status.fingerprint


def test_in_bfloat16(commands, recipe, undisturbed, tmp_path, helpers):
    folder = tmp_path / "run"
    child = commands.start("train", recipe, "--work-dir", folder, "--set", "runtime.precision=bf16")
    assert child.wait() == 0, child.lines()
    low, full = (Run(run).scalars()[0] for run in (folder, undisturbed))
    assert low["L_ctc"] == pytest.approx(full["L_ctc"], rel=0.05) and low["loss"] != full["loss"]
    assert all(value.dtype == torch.float32 for value in helpers.weights(folder).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.class_contrast.crop_size=40", "data.augment.crop is 32, which has too few places for them: give a"),
        ("model.class_contrast.crop_size=12", "crop_size is 12, and the backbone's patches have 8 px: give a multiple"),
        ("model.class_contrast.crops=600", "cuts 600 local crops of 8 px"),
        ('data.contrast_augment={"area": [0.0, 1.0]}', "contrast_augment: area="),
        ("data.contrast_augment.solarize=2", "data.contrast_augment.solarize=2: give a number in [0, 1]"),
    ],
)
def test_bad_values_end_in_a_line_before_training(recipe, tmp_path, capsys, change, message):
    assert main(["train", recipe, "--work-dir", str(tmp_path / "run"), "--set", change]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("dupl: ") and message.split(": give a number")[0] in last
