"""The store that version 0.1.0 wrote: every command reads it, and its interrupted run goes on."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from dupl.cli import main
from dupl.data import Toy
from dupl.runs.run import Run

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "fixtures" / "store_0_1"
STATES = {
    "failed": ("failed", 0),
    "finished": ("finished", 12),
    "interrupted": ("interrupted", 9),
    "killed": ("running", 4),  # on another host, of which nobody knows here
    "tiny-3b381a8b6626": ("finished", 12),
    "tiny-68bd03506d78": ("finished", 12),
    "tiny-804a1626b3cc": ("finished", 12),
    "tiny-a32a763836f5": ("finished", 12),
    "tiny-ad4d39aa8f4f": ("finished", 12),
    "tiny-c7d9d1c1774a": ("finished", 12),
    "tiny-ebd1061c7622": ("finished", 12),
}
CELLS = {  # the table of plan.py as version 0.1.0 printed it
    ("baseline", "M"): 12.700059288341443,
    ("L_dis", "M"): 12.427867253442358,
    ("baseline", "Seg"): 6.3107484698144845,
    ("L_dis", "Seg"): 6.746606931684997,
}
LONG = ("schedule.iterations=40", "evaluation.interval=20", "runtime.keep_checkpoints=1")


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
    """A copy of the store with its recipe, plan and sweep, which is also the working folder."""
    folder = tmp_path / "lab"
    shutil.copytree(OLD, folder)
    for name, up in (("tiny.py", "../../../"), ("plan.py", "../../../")):
        file = folder / name
        file.write_text(file.read_text().replace(f'"{up}', f'"{ROOT}/'))
    monkeypatch.chdir(folder)
    return folder


def today(name: str) -> str:
    """The id that a run of the store has today."""
    return Run(f"runs/{name}").status.fingerprint


def run(*words: str) -> int:
    return main([*map(str, words)])


def test_runs(lab, capsys):
    assert run("runs", "--json") == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert {Path(one["run"]).name: (one["state"], one["iteration"]) for one in found} == STATES
    failed = next(one for one in found if one["run"] == "runs/failed")
    assert failed["error"].startswith("RunError: iteration 1: L_cls is nan")


def test_comparisons_by_old_ids(lab):
    import dupl

    store = str(lab / "runs")
    old = {name: [name.rpartition("-")[2]] for name in sorted(path.name for path in (lab / "runs").glob("tiny-*"))[:2]}
    new = {name: [today(name)] for name in old}
    assert old != new
    for compare in (dupl.over_activation, dupl.class_measure, dupl.image_measure):
        assert compare(store, old, label_map="cam/1").equals(compare(store, new, label_map="cam/1"))
    assert dupl.course(store, "cam/1/mIoU", old).equals(dupl.course(store, "cam/1/mIoU", new))
    with pytest.raises(dupl.UserError, match="the store has nothing of mine"):
        dupl.course(store, "cam/1/mIoU", {"mine": ["0123456789ab"]})


def test_two_runs_by_their_old_ids(lab):
    import dupl

    names = sorted(path.name for path in (lab / "runs").glob("tiny-*"))[:2]
    found = dupl.two_runs(str(lab / "runs"), *(name.rpartition("-")[2] for name in names))
    assert [run.path.name for run in found] == names
    assert all(run.fingerprint not in run.path.name for run in found), "today they have others"
    first, second = dupl.two_runs(str(lab / "runs"), second=names[0].rpartition("-")[2])
    assert second.path.name == names[0] and first.path.name != names[0]


@pytest.mark.parametrize("name", ["finished", "interrupted", "killed", "failed", "tiny-ebd1061c7622"])
def test_show(lab, capsys, name):
    state, iteration = STATES[name]
    assert run("show", f"runs/{name}") == 0
    out = capsys.readouterr().out
    assert f"{state}, iteration {iteration} of " in out
    assert "images per loss not recorded" in out
    assert run("show", f"runs/{name}/config.py") == 0
    assert "embed_dim=8" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["finished", "interrupted", "killed", "failed", "tiny-ebd1061c7622"])
def test_report_of_a_run(lab, name):
    assert run("report", f"runs/{name}") == 0
    page = (lab / "runs" / name / "report.html").read_text()
    assert name in page and STATES[name][0] in page
    assert "not recorded" in page


def test_a_table_says_what_was_not_recorded(lab, capsys):
    assert run("report", "plan.py", "--format", "md") == 0
    note = "images per loss not recorded: 4 of 4 runs, trained by an earlier version"
    assert note in " ".join(capsys.readouterr().out.split())


def test_report_of_a_plan(lab, capsys):
    assert run("report", "plan.py", "--format", "csv") == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {(row["row"], row["column"]): float(row["mean"]) for row in rows} == pytest.approx(CELLS, abs=1e-9)
    assert {row["n"] for row in rows} == {"2"}


def test_report_of_a_sweep(lab, capsys):
    assert run("report", "sweep.py", "--bootstraps", "2") == 0
    out = capsys.readouterr().out
    assert "trials: 3 complete" in out
    assert "| 1 | complete | 2.48 | 0.6503 | 12 | c7d9d1c1774a |" in out


@pytest.mark.parametrize("words", [["--dry-run"], ["--gpus", "none"]])
def test_a_plan_has_nothing_left_to_do(lab, capsys, words):
    assert run("ablate", "plan.py", *words) == 0
    said = capsys.readouterr().out
    assert (
        (f"seed 1  {today('tiny-ad4d39aa8f4f')}  finished" in said)
        if "--dry-run" in words
        else ("4 runs: 4 finished (4 " in said)
    )


def test_a_sweep_has_nothing_left_to_do(lab, capsys):
    assert run("sweep", "sweep.py", "--dry-run") == 0
    assert f"trial 0  {today('tiny-804a1626b3cc')}  tau_h(T)=0.55  finished" in capsys.readouterr().out
    assert run("sweep", "sweep.py", "--continue", "--gpus", "none") == 0
    assert "3 trials: 3 complete" in capsys.readouterr().out


def test_eval(lab):
    before = json.loads((lab / "runs/finished/evaluation/iter_000012/metrics.json").read_text())["metrics"]
    assert run("eval", "runs/finished", "--checkpoint", "last") == 0
    after = json.loads((lab / "runs/finished/evaluation/val_train-32-t0.5_iter_000012/metrics.json").read_text())[
        "metrics"
    ]
    shared = {name: value for name, value in after.items() if name in before}
    assert "seg/best/mIoU" in shared
    assert shared == pytest.approx({name: before[name] for name in shared}, abs=0.5)  # of another kind of CPU


def test_infer(lab):
    (lab / "photos").mkdir()
    Image.fromarray(Toy(split="val", size=32, count=1).image(0)).save(lab / "photos" / "one.png")
    assert run("infer", "runs/finished", "photos", "--out", "out") == 0
    assert Image.open(lab / "out" / "masks" / "one.png").size == (32, 32)


def test_reproduce(lab, capsys):
    run("reproduce", "runs/finished", "--check")
    out = capsys.readouterr().out
    assert f"same       config: {today('finished')}" in out
    assert "same       data.train: 24 images" in out and "same       data.val: 8 images" in out


def test_board(lab):
    names = ["finished", "interrupted", "tiny-ebd1061c7622"]
    assert run("board", *(f"runs/{name}" for name in names), "--static", "runs/board.html") == 0
    page = (lab / "runs" / "board.html").read_text()
    assert "3 runs" in page
    assert all(today(name)[:6] in page for name in names), "the runs by their ids"


def test_runs_are_removed(lab, capsys):
    assert run("runs", "runs/failed", "runs/tiny-ebd1061c7622", "--rm", "--yes") == 0
    assert not (lab / "runs/failed").exists() and not (lab / "runs/tiny-ebd1061c7622").exists()


def test_the_interrupted_run_ends_like_one_that_was_not(lab):
    assert run("train", "tiny.py", "--wandb", "off", "--work-dir", "runs/interrupted", "--resume", "--set", *LONG) == 0
    assert run("train", "tiny.py", "--wandb", "off", "--work-dir", "whole", "--set", *LONG) == 0
    one, other = lab / "runs" / "interrupted", lab / "whole"
    assert Run(one).status.state == "finished"
    states = [
        torch.load(folder / "checkpoints/iter_000040.pth", weights_only=True)["state_dict"] for folder in (one, other)
    ]
    assert states[0].keys() == states[1].keys()
    for name, weight in states[0].items():
        assert torch.allclose(weight, states[1][name], rtol=1e-3, atol=1e-5), name  # equal bits on one kind of CPU
    scalars = [{row["iter"]: row["loss"] for row in Run(folder).scalars() if "loss" in row} for folder in (one, other)]
    assert scalars[0] == pytest.approx(scalars[1], rel=1e-3)
    assert sorted(scalars[0]) == list(range(2, 41, 2))


def test_a_killed_run_is_taken_over_once_its_lock_stood_still(lab, monkeypatch, capsys):
    from dupl.lock import holding as lock

    monkeypatch.setattr(lock, "TTL", 0.5)
    changes = ("--set", *LONG, "runtime.seed=1")
    assert run("train", "tiny.py", "--wandb", "off", "--work-dir", "runs/killed", "--resume", *changes) == 0
    assert "was left by process 4242 on host" in capsys.readouterr().err
    assert Run(lab / "runs" / "killed").status.state == "finished"
    assert not list((lab / "runs" / "killed").glob(".*"))
