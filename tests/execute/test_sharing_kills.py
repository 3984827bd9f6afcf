"""Shared beginnings under kills, two coordinators and a trunk that fails: nothing is lost, wrong or trained twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from dupl.cli import main
from dupl.runs.store import RunStore

PLAN = '''
"""How sure the noise filter must be; it acts from iteration 6 of 24 on."""

base = {base!r}
seeds = [0]
columns = dict(M=dict(metric="cam/best/mIoU"))
set = {set!r}
vary = dict(label="gamma", paths=["model.noise_filter.gamma"], values=dict(low=0.3, base=0.5, high=0.8))
'''
SET = {"runtime.checkpoint_interval": 24}
LEASE = 3  # seconds


@pytest.fixture(scope="module")
def plan(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "late.py"
    path.write_text(PLAN.format(base=tiny, set=SET))
    return str(path)


@pytest.fixture(scope="module")
def scratch(plan, tmp_path_factory):
    """Scalars of every run, trained from its first iteration on."""
    root = tmp_path_factory.mktemp("scratch")
    assert main(["ablate", plan, "--root", str(root), "--jobs", "2", "--no-share"]) == 0
    return scalars(root)


def scalars(root):
    timing = ("seconds", "memory_GiB")
    return {
        run.fingerprint: [{k: v for k, v in row.items() if k not in timing} for row in run.run.scalars()]
        for run in RunStore(root).runs()
    }


def begun(root):
    """The iterations that the runs of a store began at."""
    found = [run.status.beginning for run in RunStore(root).runs()]
    return sorted(0 if one is None else one.iteration for one in found)


def coordinator(plan, root):
    words = [sys.executable, "-m", "dupl", "ablate", plan, "--root", str(root), "--jobs", "2", "--lease", str(LEASE)]
    return subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_all(process):
    """Kill a coordinator with its workers and trainers, as a machine does that loses its power."""
    everyone = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for one in everyone:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(everyone, timeout=20)


def reached(root, what, process):
    """Wait until a file of any run exists, while the coordinator is at work."""
    until = time.monotonic() + 240
    while not any(root.glob(what)):
        assert process.poll() is None and time.monotonic() < until, f"nothing made {what}"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "moment",
    ["*/config.py", "*/checkpoints/iter_000006.pth", "*/checkpoints/iter_000024.pth"],
    ids=["the trunk begins", "at the fork", "forks train"],
)
def test_a_kill_of_everything_loses_nothing(plan, scratch, tmp_path, moment):
    process = coordinator(plan, tmp_path)
    reached(tmp_path, moment, process)
    kill_all(process)
    assert main(["ablate", plan, "--root", str(tmp_path), "--jobs", "2", "--lease", str(LEASE)]) == 0
    assert scalars(tmp_path) == scratch


def test_two_coordinators_train_the_beginning_once(plan, scratch, tmp_path):
    both = [coordinator(plan, tmp_path), coordinator(plan, tmp_path)]
    assert [process.wait(timeout=400) for process in both] == [0, 0]
    assert scalars(tmp_path) == scratch
    assert begun(tmp_path) == [0, 6, 6]
    for run in RunStore(tmp_path).runs():
        assert len(run.status.history) == (1 if run.status.beginning is None else 2), "no iteration was trained twice"


def test_a_trunk_that_turns_nan_fails_with_its_forks(tiny, tmp_path, capfd):
    path = tmp_path / "nan.py"
    path.write_text(PLAN.format(base=tiny, set=SET | {"schedule.lr": 1e30}))
    root = tmp_path / "runs"
    options = ["--jobs", "2", "--retries", "0", "--max-failed", "1"]
    assert main(["ablate", str(path), "--root", str(root), *options]) != 0
    assert "iteration 1: L_cls is nan" in capfd.readouterr().err, "the trunk says what it met"
    assert {run.status.state for run in RunStore(root).runs()} == {"failed"}
    assert not [f for f in root.rglob("*.pth") if os.path.getsize(f) == 0]
