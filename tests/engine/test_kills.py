"""A training killed at random moments ends like one that was not; `python tests/engine/kills.py` does it at length."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import sys
from pathlib import Path

import pytest
import torch

from dupl.cli import main
from dupl.runs.run import Run


@pytest.fixture(scope="module")
def kills():
    spec = importlib.util.spec_from_file_location("kills", Path(__file__).with_name("kills.py"))
    module = sys.modules["kills"] = importlib.util.module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_five_kills(kills, commands, tiny, trained, tmp_path):
    ordeal = kills.Ordeal(commands, tiny, trained, tmp_path, random.Random(5), seconds=2)
    ordeal.run(5)
    assert len(ordeal.kills) == 5


def test_killed_while_the_last_pictures_are_drawn(kills, tiny, trained, tmp_path, monkeypatch):
    """The run does not count as finished before, so that `--resume` draws them."""
    folder, seen = tmp_path / "run", []
    shutil.copytree(trained, folder)
    Run(folder).update(state="interrupted")

    def killed(run, _):
        seen.append(run.status.state)
        raise KeyboardInterrupt

    monkeypatch.setattr("dupl.engine.pictures.draw", killed)
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 130
    monkeypatch.setattr("dupl.engine.pictures.draw", lambda run, _: seen.append(run.status.state) or [])
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
    assert seen == ["running", "running"]
    assert kills.differences(folder, trained) == []
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 2


def test_killed_between_the_last_checkpoint_and_the_removal_of_an_old_one(kills, tiny, trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    Run(folder).update(state="running", iteration=20)
    for iteration in (13, 15):
        shutil.copy(folder / "checkpoints" / "iter_000020.pth", folder / "checkpoints" / f"iter_0000{iteration}.pth")
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
    assert kills.differences(folder, trained) == []


def test_differences_are_found(kills, trained, tmp_path):
    """The comparison itself: nothing between a run and its copy, and each kind of change."""
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    assert kills.differences(copy, trained) == []
    status = json.loads((copy / "status.json").read_text())
    (copy / "status.json").write_text(json.dumps({**status, "iteration": 23, "pid": 1}))
    (copy / "scalars.jsonl").write_text("".join((copy / "scalars.jsonl").read_text().splitlines(True)[:-1]))
    best = torch.load(copy / "checkpoints" / "best.pth", weights_only=True)
    key = next(iter(best["state_dict"]))
    best["state_dict"][key].flatten()[0] += 1e-6
    torch.save(best, copy / "checkpoints" / "best.pth")
    (copy / "evaluation" / "iter_000008" / "per_class.csv").unlink()
    (copy / ".status.json.5f").touch()
    assert kills.differences(copy, trained) == [
        "only in one: evaluation/iter_000008/per_class.csv",
        f"left behind: {copy / '.status.json.5f'}",
        f"checkpoints/best.pth: /state_dict/{key}",
        "scalars.jsonl",
        "status.json: iteration",
    ]
