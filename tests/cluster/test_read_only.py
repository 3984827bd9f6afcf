"""A results folder on a file system that is read-only: it is told in a line before anything is computed."""

import os
import shutil
import subprocess

import pytest
import torch

from dupl.cli import main
from dupl.engine.training import train


@pytest.fixture
def disk(tmp_path):
    """A file system in memory, and a function that makes it read-only: permissions do not hold root back."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a file system can be mounted by root alone")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place, lambda: subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("command", ["train", "resume", "eval", "final", "infer", "report", "ablate"])
def test_it_is_told_before_anything_is_computed(tiny, trained, disk, tmp_path, monkeypatch, capsys, command):
    place, lock = disk
    run, photo = place / "run", tmp_path / "photo.png"
    shutil.copytree(trained, run)
    shutil.copy(next(trained.rglob("*.webp")), photo)
    plan = tmp_path / "plan.py"
    plan.write_text(f'base = {tiny!r}\nrows = dict(a=dict())\ncolumns = dict(Seg=dict(metric="seg/best/mIoU"))\n')
    argv = {
        "train": ["train", tiny, "--work-dir", str(place / "new")],
        "resume": ["train", tiny, "--work-dir", str(run), "--resume", "--set", "schedule.iterations=48"],
        "eval": ["eval", str(run), "--checkpoint", "last"],
        "final": ["eval", str(run), "--checkpoint", "last", "--protocol", "final"],
        "infer": ["infer", str(run), str(photo), "--out", str(place / "out")],
        "report": ["report", str(run)],
        "ablate": ["ablate", str(plan), "--root", str(place / "store")],
    }[command]
    lock()
    monkeypatch.setattr(train, "take_trial_steps", lambda *_, **__: None)  # two images, before a run is created
    computed = []
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda self, *_, **__: computed.append(self))
    assert main(argv) in (1, 2, 74)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("dupl: ") and "Read-only file system" in lines[-1], lines
    assert not computed, "the network was asked before the folder was found to be read-only"
