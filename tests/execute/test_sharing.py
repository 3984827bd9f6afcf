"""Runs of a plan that share a beginning train it once, and are what they are from scratch."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from dupl.cli import main
from dupl.execute.job import Job, Step
from dupl.execute.progress import Progress
from dupl.execute.trunk import waits_for
from dupl.runs.run import Run
from dupl.runs.store import RunStore

LEASE = 3  # seconds
PLAN = '''
"""How sure the noise filter must be; it acts from iteration 6 of 24 on."""

base = {base!r}
seeds = [0]
columns = dict(M=dict(metric="cam/best/mIoU"))
set = {{"runtime.checkpoint_interval": 24}}
vary = dict(label="gamma", paths=["model.noise_filter.gamma"], values=dict(low=0.3, base=0.5, high=0.8))
'''


@pytest.fixture(scope="module")
def plan(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "late.py"
    path.write_text(PLAN.format(base=tiny))
    return str(path)


def ablate(plan, root, *options):
    assert main(["ablate", plan, "--root", str(root), "--jobs", "2", *options]) == 0


def by_row(root):
    return {run.fingerprint: run for run in RunStore(root).runs()}


def rows(run):
    timing = ("seconds", "memory_GiB")
    return [{key: value for key, value in row.items() if key not in timing} for row in run.run.scalars()]


def scalars(root):
    """Scalars of every run of a store, by its id."""
    return {name: rows(run) for name, run in by_row(root).items()}


def begun(root):
    """The iterations that the runs of a store began at."""
    found = (run.status.beginning for run in by_row(root).values())
    return sorted(0 if one is None else one.iteration for one in found)


@pytest.fixture(scope="module")
def shared(plan, tmp_path_factory):
    root = tmp_path_factory.mktemp("shared")
    ablate(plan, root)
    return root


def test_the_beginning_is_trained_once_and_the_numbers_are_the_same(plan, shared, tmp_path):
    ablate(plan, tmp_path, "--no-share")
    together, apart = by_row(shared), by_row(tmp_path)
    assert together.keys() == apart.keys()
    assert len(together) == 3
    for name in together:
        assert rows(together[name]) == rows(apart[name])
        assert apart[name].status.beginning is None
    assert begun(shared) == [0, 6, 6]
    (trunk,) = (run for run in together.values() if run.status.beginning is None)
    sources = {run.status.beginning.run for run in together.values() if run.status.beginning}
    assert sources == {trunk.fingerprint}


def test_a_later_run_begins_as_one_of_the_store_whoever_trained_it(plan, shared, tmp_path, tiny, capfd):
    root = shutil.copytree(shared, tmp_path / "store")
    late = tmp_path / "other.py"
    late.write_text(PLAN.format(base=tiny).replace("high=0.8", "high=0.9"))
    assert main(["ablate", str(late), "--root", str(root), "--dry-run", "--jobs", "1"]) == 0
    out = capfd.readouterr().out
    assert "6 of 24 iterations are shared (25 %): " in out
    without = float(re.search(r"instead of ([0-9.]+) h", out)[1])
    assert without >= float(re.search(r": ([0-9.]+) h of computing instead", out)[1])
    files = int(re.search(r"disk space: about \d+ MiB in (\d+) files; 0 checkpoints kept at forks", out)[1])
    assert files == max(len([f for f in run.path.rglob("*") if f.is_file()]) for run in RunStore(root).runs())
    ablate(str(late), root)
    (new,) = (run for name, run in by_row(root).items() if name not in by_row(shared))
    assert new.status.beginning.iteration == 6


def test_runs_of_several_plans_share_a_beginning(tiny, shared, tmp_path, capfd):
    """The first plan keeps the checkpoint at which runs of the second one begin."""
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(PLAN.format(base=tiny).replace(", base=0.5, high=0.8", ""))
    second.write_text(PLAN.format(base=tiny))
    both, root = [str(first), str(second)], tmp_path / "store"
    assert main(["ablate", *both, "--root", str(root), "--dry-run", "--jobs", "1"]) == 0
    out = capfd.readouterr().out
    assert out.count("a run of an earlier plan of this command") == 1
    assert "12 of 48 iterations are shared (25 %)" in out
    assert not root.exists()
    assert main(["ablate", *both, "--root", str(root), "--jobs", "2"]) == 0
    assert begun(root) == [0, 6, 6]
    assert scalars(root) == scalars(shared)


@pytest.mark.parametrize("option", [["--rows", "low"], ["--dry-run", "--json"]])
def test_what_is_of_one_plan_is_refused_for_several(plan, option, tmp_path, capfd):
    assert main(["ablate", plan, plan, "--root", str(tmp_path), *option]) == 2
    assert "of one plan: name one plan, not 2" in capfd.readouterr().err


def test_a_trunk_that_is_gone_costs_iterations_but_no_run(plan, shared, tmp_path):
    root = shutil.copytree(shared, tmp_path / "store")
    runs = by_row(root).values()
    for run in runs:
        if run.status.beginning is None:
            shutil.rmtree(run.path / "checkpoints")
        else:
            shutil.rmtree(run.path)
    ablate(plan, root)
    assert len(by_row(root)) == 3
    assert scalars(root) == scalars(shared)


def test_the_dry_run_draws_the_tree(plan, tmp_path, capfd):
    assert main(["ablate", plan, "--root", str(tmp_path), "--dry-run", "--jobs", "1"]) == 0
    lines = capfd.readouterr().out.splitlines()
    at = lines.index("shared beginnings (each is trained once; --no-share trains every run from its start):")
    assert lines[at + 1 : at + 6] == [
        "  low, seed 0",
        "    from 6  base, seed 0",
        "    from 6  high, seed 0",
        "12 of 72 iterations are shared (17 %)",
        "disk space unknown (the store has no finished run of this plan); 1 checkpoint kept at forks",
    ]
    assert main(["ablate", plan, "--root", str(tmp_path), "--dry-run", "--json", "--jobs", "1"]) == 0
    assert [one["fork"] for one in json.loads(capfd.readouterr().out)] == [0, 6, 6]
    assert main(["ablate", plan, "--root", str(tmp_path), "--dry-run", "--no-share", "--jobs", "1"]) == 0
    assert "shared beginnings" not in capfd.readouterr().out


class TestWaiting:
    """A job waits for its trunk as long as the checkpoint can still come."""

    @pytest.fixture
    def trunk(self, tmp_path):
        job = Job("a", "trunk", str(tmp_path), str(tmp_path / "a"), (Step(("x",)),), ".")
        return Progress(job, "running", tmp_path / "a")

    @pytest.fixture
    def child(self, tmp_path):
        job = Job("b", "child", str(tmp_path), str(tmp_path / "b"), (Step(("x",)),), ".", parent="a", fork=6)
        return Progress(job, "waiting", tmp_path / "b")

    @pytest.mark.parametrize("state", ["waiting", "queued", "running", "elsewhere"])
    def test_until_the_checkpoint_is_there(self, trunk, child, state):
        trunk.state = state
        assert waits_for(child, trunk) == "waits for iteration 6 of trunk"
        file = trunk.folder / "checkpoints" / "iter_000006.pth"
        file.parent.mkdir(parents=True)
        file.touch()
        assert waits_for(child, trunk) == ""

    @pytest.mark.parametrize("state", ["finished", "failed", "interrupted"])
    def test_not_for_a_trunk_that_has_ended(self, trunk, child, state):
        trunk.state = state
        assert waits_for(child, trunk) == ""

    def test_not_for_a_trunk_that_went_beyond_the_fork(self, trunk, child):
        from dupl.runs.stored_run import open_run

        run = Run.create(trunk.folder, "", "a", ["dupl"], 0)
        run.write_text("config.py", "")
        run.update(state="running", iteration=7)
        trunk.run = open_run(trunk.folder)
        assert waits_for(child, trunk) == ""

    @pytest.mark.parametrize(
        ("state", "pace", "waits"),
        [
            ("elsewhere", 1.0, False),  # 4 iterations of 2 s are left, and 6 of 1 s from scratch
            ("elsewhere", 1.4, True),
            ("elsewhere", None, True),
            ("running", 1.0, True),
        ],
    )
    def test_not_for_a_trunk_that_is_slower_than_from_scratch(self, trunk, child, state, pace, waits):
        from dupl.runs.stored_run import open_run

        run = Run.create(trunk.folder, "", "a", ["dupl"], 0)
        run.write_text("config.py", "")
        run.update(state="running", iteration=2, seconds=4.0)
        trunk.run, trunk.state = open_run(trunk.folder), state
        assert waits_for(child, trunk, pace) == ("waits for iteration 6 of trunk" if waits else "")

    def test_not_for_a_trunk_of_another_plan(self, child):
        assert waits_for(child, None) == ""


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
def test_a_kill_of_everything_loses_nothing(plan, shared, tmp_path, moment):
    process = coordinator(plan, tmp_path)
    reached(tmp_path, moment, process)
    kill_all(process)
    assert main(["ablate", plan, "--root", str(tmp_path), "--jobs", "2", "--lease", str(LEASE)]) == 0
    assert scalars(tmp_path) == scalars(shared)


def test_two_coordinators_train_the_beginning_once(plan, shared, tmp_path):
    both = [coordinator(plan, tmp_path), coordinator(plan, tmp_path)]
    assert [process.wait(timeout=400) for process in both] == [0, 0]
    assert scalars(tmp_path) == scalars(shared)
    assert begun(tmp_path) == [0, 6, 6]
    for run in RunStore(tmp_path).runs():
        assert len(run.status.history) == (1 if run.status.beginning is None else 2), "no iteration was trained twice"


def test_a_trunk_that_turns_nan_fails_with_its_forks(tiny, tmp_path, capfd):
    path = tmp_path / "nan.py"
    path.write_text(PLAN.format(base=tiny).replace("24}", '24, "schedule.lr": 1e30}'))
    root = tmp_path / "runs"
    options = ["--jobs", "2", "--retries", "0", "--max-failed", "1"]
    assert main(["ablate", str(path), "--root", str(root), *options]) != 0
    assert "iteration 1: L_cls is nan" in capfd.readouterr().err, "the trunk says what it met"
    assert {run.status.state for run in RunStore(root).runs()} == {"failed"}
    assert not [f for f in root.rglob("*.pth") if os.path.getsize(f) == 0]
