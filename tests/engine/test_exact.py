"""The same seed gives the same run, whatever the workers and however often it was interrupted."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from dupl.runs.run import Run

CHECKPOINTS = {"iter_000020.pth", "iter_000024.pth", "best.pth"}


def test_workers_change_nothing(commands, tiny, trained, tmp_path, helpers):
    child = commands.start("train", tiny, "--work-dir", tmp_path / "run", "--set", "runtime.workers=2")
    assert child.wait() == 0, child.lines()
    helpers.assert_same_run(tmp_path / "run", trained)


def test_killed_twice_and_resumed(commands, tiny, trained, tmp_path, helpers):
    folder, chance = tmp_path / "run", random.Random(20)
    first, second = chance.randrange(6, 10), chance.randrange(11, 17)
    argv = ["train", tiny, "--work-dir", str(folder)]
    process = subprocess.Popen([sys.executable, "-m", "dupl", *argv], stderr=subprocess.DEVNULL, env=paths())
    helpers.until(lambda: helpers.progress(folder) >= first)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert Run(folder).status.state == "running"

    child = commands.start(*argv, "--resume")
    helpers.until(lambda: helpers.progress(folder) >= second)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL

    child = commands.start(*argv, "--resume")
    assert child.wait() == 0, child.lines()
    assert "resuming from iter_0000" in child.err.read_text()
    helpers.assert_same_run(folder, trained)
    assert {f.name for f in (folder / "checkpoints").iterdir()} == CHECKPOINTS


def test_killed_before_the_first_checkpoint(commands, tiny, trained, tmp_path, helpers):
    folder = tmp_path / "run"
    child = commands.start("train", tiny, "--work-dir", folder)
    helpers.until(lambda: helpers.progress(folder) >= 2)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    for file in (folder / "checkpoints").glob("*"):  # should one have been written meanwhile
        file.unlink()
    child = commands.start("train", tiny, "--work-dir", folder, "--resume")
    assert child.wait() == 0, child.lines()
    helpers.assert_same_run(folder, trained)


@pytest.fixture(scope="module")
def terminated(commands, tiny, tmp_path_factory, helpers):
    """A run, with a loader's worker, that its whole process group was asked to end; its exit code and stderr."""
    folder = tmp_path_factory.mktemp("terminated") / "run"
    child = commands.start("train", tiny, "--work-dir", folder, "--set", "runtime.workers=1")
    helpers.until(lambda: helpers.progress(folder) >= 10)
    os.killpg(child.pid, signal.SIGTERM)
    return folder, child.wait(), child.lines()


def test_sigterm_stops_cleanly(terminated):
    folder, code, lines = terminated
    status = Run(folder).status
    assert code == 1, lines
    assert lines[-1] == f"dupl: stopped at iteration {status.iteration}, which is saved: continue with --resume"
    assert not [line for line in lines if "Traceback" in line or "rror" in line]
    assert status.state == "interrupted"
    assert status.ended is not None
    assert (folder / "checkpoints" / f"iter_{status.iteration:06d}.pth").is_file()


def test_a_checkpoint_of_another_model_is_refused(commands, terminated, tiny, tmp_path):
    """Weights that the checkpoint lacks would keep their initial values, and the numbers would be silently wrong."""
    folder = shutil.copytree(terminated[0], tmp_path / "run")
    file = folder / "checkpoints" / f"iter_{Run(folder).status.iteration:06d}.pth"
    checkpoint = torch.load(file, weights_only=False)
    lost = next(key for key in checkpoint["state_dict"] if key.endswith("classifier.weight"))
    del checkpoint["state_dict"][lost]
    torch.save(checkpoint, file)
    child = commands.start("train", tiny, "--work-dir", folder, "--resume")
    assert child.wait() == 2, child.lines()
    assert "does not fit the model of this code" in child.lines()[-1]
    assert lost in child.lines()[-1]
    assert file.is_file()


def test_resume_passes_over_a_truncated_checkpoint(commands, terminated, tiny, trained, helpers):
    folder, _, _ = terminated
    newest = folder / "checkpoints" / f"iter_{Run(folder).status.iteration:06d}.pth"
    with open(newest, "rb+") as file:
        file.truncate(newest.stat().st_size // 2)
    child = commands.start("train", tiny, "--work-dir", folder, "--resume")
    assert child.wait() == 0, child.lines()
    told = [line for line in child.lines() if line.startswith("skipped: ")]
    assert len(told) == 1
    assert newest.name in told[0]
    assert "resuming from" in child.err.read_text()
    helpers.assert_same_run(folder, trained)
    status = Run(folder).status
    assert (status.state, status.iteration, status.error) == ("finished", 24, None)


def test_what_a_run_leaves(trained):
    files = [f for f in trained.rglob("*") if f.is_file()]
    assert not [f for f in files if f.name.startswith(".") or f.suffix == ".part"]
    assert {f.name for f in (trained / "checkpoints").iterdir()} == CHECKPOINTS
    for file in (trained / "checkpoints").iterdir():
        assert torch.load(file, weights_only=True)["state_dict"]
    rows = Run(trained).scalars()
    assert [row["iter"] for row in rows if "loss" in row] == list(range(2, 25, 2))
    assert [row["iter"] for row in rows if "seg/1/mIoU" in row] == [8, 16, 24]
    evaluated = {
        f.name for f in (trained / "evaluation").glob("iter_*")
    }  # other tests may have evaluated the run since
    assert evaluated == {f"iter_{i:06d}" for i in (8, 16, 24)}
    terms = {"L_cls", "L_ptc", "L_dis", "L_seg", "L_reg", "pixels/filtered"}
    assert all(row[term] > 0 for row in rows[-3:] if "loss" in row for term in terms), "every component was on"


def paths() -> dict[str, str]:
    """The environment of a command that runs this very code."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
