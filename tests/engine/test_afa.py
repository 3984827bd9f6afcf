"""AFA by the same Runner: exact resume, any number of workers, two processes, both precisions."""

from __future__ import annotations

import pytest
import torch

from dupl.cli import main
from dupl.runs.run import Run

BASE = "demo/afa.py"  # of the fixture `recipe`
RECIPE = '''
"""A tiny AFA on synthetic scenes, with a mix transformer: every term starts within the first iterations."""

_base_ = [{base!r}]
model = dict(
    network=dict(
        _delete_=True,
        type="PyramidNet",
        backbone=dict(
            name="mit_b1",
            options=dict(
                dims=[8, 16, 20, 32], depths=[1, 1, 1, 2], heads=[1, 2, 5, 4], ratios=[4, 2, 1, 1], strides=[4, 2, 1, 1]
            ),
            drop_path=0.3,
        ),
        head=dict(channels=16, dropout=0.3),
    ),
    affinity=dict(start=2, spread_from=4, radius=2, targets="spread", refine_in="photo"),
    segmentation=dict(start=2),
    dense_energy=dict(start=3),
    refine=dict(dilations=[1, 2], iterations=2),
)
data = dict(
    train=dict(size=32, count=24),
    val=dict(size=32, count=8),
    augment=dict(crop=32, scale=[0.8, 1.3], jitter=0.8),
)
schedule = dict(iterations=24, batch_size=4, images_per_loss=4, warmup=3, norm_lr=0.0)
evaluation = dict(interval=8, size=32, batch_size=4)
runtime = dict(log_interval=2, checkpoint_interval=5, device="cpu", threads=1)
'''


def test_every_term_is_on_and_norms_stay(undisturbed, helpers):
    rows = [row for row in Run(undisturbed).scalars() if "loss" in row]
    for term in ("L_cls", "L_aff", "L_seg"):
        assert all(row[term] > 0 for row in rows[-3:]), term
    assert all(row["L_energy"] < 0 for row in rows[-3:])
    weights = helpers.weights(undisturbed)
    assert torch.equal(weights["students.nets.0.backbone.vit.norm4.weight"], torch.ones(32)), "norm_lr is 0"
    assert not torch.equal(weights["students.nets.0.head.norm.weight"], torch.ones(16))
    assert weights["students.nets.0.head.norm.running_mean"].any(), "statistics of the head follow"


def test_workers_change_nothing(commands, recipe, undisturbed, tmp_path, helpers):
    child = commands.start("train", recipe, "--work-dir", tmp_path / "run", "--set", "runtime.workers=2")
    assert child.wait() == 0, child.lines()
    helpers.assert_same_run(tmp_path / "run", undisturbed)


def test_killed_and_resumed(commands, recipe, undisturbed, tmp_path, helpers):
    folder = tmp_path / "run"
    helpers.kill_and_resume(commands, recipe, folder)
    helpers.assert_same_run(folder, undisturbed)


def test_two_processes_are_one_that_takes_two_losses(commands, recipe, tmp_path, helpers):
    """What is dropped belongs to the images, and the norm's statistics to the step."""
    helpers.assert_two_processes_are_one(commands, recipe, tmp_path)
    assert Run(tmp_path / "one").status.fingerprint == Run(tmp_path / "two").status.fingerprint


def test_in_bfloat16(commands, recipe, undisturbed, tmp_path, helpers):
    folder = tmp_path / "run"
    child = commands.start("train", recipe, "--work-dir", folder, "--set", "runtime.precision=bf16")
    assert child.wait() == 0, child.lines()
    low, full = (Run(run).scalars()[0] for run in (folder, undisturbed))
    assert low["L_cls"] == pytest.approx(full["L_cls"], rel=0.05) and low["loss"] != full["loss"]
    assert all(value.dtype == torch.float32 for value in helpers.weights(folder).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.augment.crop=36", "data.augment.crop is 36, and the backbone's patches have 8 px: give a multiple"),
        ("data.augment.crop=8", "too small for mit_b1, which needs 16 px"),
        ("model.affinity.radius=0", "model.affinity.radius is 0"),
        ("model.network.backbone.pretrained=True", "timm has no weights of mit_b1"),
        ("schedule.norm_lr=-1", "schedule.norm_lr"),
    ],
)
def test_bad_values_end_in_a_line(recipe, tmp_path, capsys, change, message):
    assert main(["train", recipe, "--work-dir", str(tmp_path / "run"), "--set", change]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("dupl: ") and message in last
