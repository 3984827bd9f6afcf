"""CoSA by the same Runner: exact resume, any number of workers, two processes, both precisions."""

from __future__ import annotations

import pytest
import torch

from dupl.cli import main
from dupl.runs.run import Run

BASE = "demo/cosa.py"  # of the fixture `recipe`
RECIPE = '''
"""A tiny CoSA on synthetic scenes: every term starts within the first iterations."""

_base_ = [{base!r}]
model = dict(
    network=dict(
        backbone=dict(options=dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)),
        head=dict(channels=16, dilation=1),
    ),
    students=dict(momentum=0.9),
    segmentation=dict(start=2),
    seg_to_cam=dict(start=3),
    dense_energy=dict(start=4),
    cam_queue=dict(_delete_=True, type="QueueMixture", start=5, images=16, side=4),
)
data = dict(
    train=dict(size=32, count=24),
    val=dict(size=32, count=8),
    augment=dict(crop=32, scale=[0.8, 1.3], blur=0.5),
)
schedule = dict(iterations=24, batch_size=4, images_per_loss=4, warmup=3)
evaluation = dict(interval=12, size=32, batch_size=4)
runtime = dict(log_interval=2, checkpoint_interval=5, device="cpu", threads=1)
'''


def test_every_term_is_on_and_the_average_and_the_queue_follow(undisturbed, helpers):
    rows = [row for row in Run(undisturbed).scalars() if "loss" in row]
    for term in ("L_cls", "L_seg", "L_s2c"):
        assert all(row[term] > 0 for row in rows[-3:]), term
    assert all(row["L_energy"] < 0 for row in rows[-3:])
    weights = helpers.weights(undisturbed)
    online, average = (weights[f"students.nets.{net}.classifier.weight"] for net in (0, 1))
    assert not torch.equal(online, average) and torch.allclose(online, average, atol=0.1)
    assert weights["cam_queue.filled"] == (24 - 5) * 4
    assert weights["cam_queue.values"].any() and weights["cam_queue.averages"].all()


def test_workers_change_nothing(commands, recipe, undisturbed, tmp_path, helpers):
    child = commands.start("train", recipe, "--work-dir", tmp_path / "run", "--set", "runtime.workers=2")
    assert child.wait() == 0, child.lines()
    helpers.assert_same_run(tmp_path / "run", undisturbed)


def test_killed_and_resumed(commands, recipe, undisturbed, tmp_path, helpers):
    """The moving average and the queue go on from the checkpoint: they are compared bit for bit."""
    folder = tmp_path / "run"
    helpers.kill_and_resume(commands, recipe, folder)
    helpers.assert_same_run(folder, undisturbed)


def test_two_processes_are_one_that_takes_two_losses(commands, recipe, tmp_path, helpers):
    """The moving average is updated once a step, however many losses the step has and on however many processes."""
    helpers.assert_two_processes_are_one(commands, recipe, tmp_path)
    assert Run(tmp_path / "one").status.fingerprint == Run(tmp_path / "two").status.fingerprint


def test_in_bfloat16(commands, recipe, undisturbed, tmp_path, helpers):
    folder = tmp_path / "run"
    short = ("schedule.iterations=8", "evaluation.interval=8")
    child = commands.start("train", recipe, "--work-dir", folder, "--set", "runtime.precision=bf16", *short)
    assert child.wait() == 0, child.lines()
    low, full = (Run(run).scalars()[0] for run in (folder, undisturbed))
    assert low["L_cls"] == pytest.approx(full["L_cls"], rel=0.05) and low["loss"] != full["loss"]
    weights = torch.load(folder / "checkpoints" / "iter_000008.pth", weights_only=True)["state_dict"]
    assert all(value.dtype != torch.bfloat16 for value in weights.values())
    assert all(value.dtype == torch.float32 for name, value in weights.items() if name.startswith("students."))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.students.momentum=1.5", "model.students.momentum is 1.5: give a number in [0, 1]"),
        ("model.students.initial=teacher", "model.students.initial is 'teacher': "),
        ("model.seg_to_cam.temperature=0", "model.seg_to_cam.temperature is 0: give a number above 0"),
        ("model.cam_queue.images=0", "model.cam_queue.images is 0: give"),
        ("model.cam_queue.fill=ones", "model.cam_queue.fill is 'ones': "),
        ("model.perturb.magnitude=0", "model.perturb.magnitude is 0: "),
        ('model.students={"type": "DualStudent"}', "CoSA does not train DualStudent: set model.students.type=Online"),
        ("model.aux_share=2", "model.aux_share is 2: give a number in [0, 1]"),
    ],
)
def test_bad_values_end_in_a_line_before_training(recipe, tmp_path, capsys, change, message):
    assert main(["train", recipe, "--work-dir", str(tmp_path / "run"), "--set", change]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("dupl: ") and message in last
    assert not (tmp_path / "run").exists()
