"""A plan's finished table on wandb: recorded offline, read back by wandb's own reader."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dupl.cli import main

FIXTURES = Path(__file__).parent / "fixtures"
PLAN = str(FIXTURES / "plan.py")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A copy of a store in which the plan is finished."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    shutil.copytree(FIXTURES / "store", tmp_path / "runs")
    return tmp_path / "runs"


def stretches(store: Path) -> list[Path]:
    return sorted((store / ".plans").glob("table-*/wandb/offline-run-*"))


def recorded(folder: Path) -> tuple[dict, dict]:
    """The run and the table of a stretch."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(next(folder.glob("*.wandb")))]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    run = next(r["run"] for r in records if r["type"] == "run")
    item = next(r["history"]["item"] for r in records if r["type"] == "history")
    return run, json.loads((folder / "files" / item["table.path"]).read_text())


def test_a_finished_plan_puts_its_table_there_once(store, capsys):
    assert main(["ablate", PLAN, "--root", str(store)]) == 0
    (folder,) = stretches(store)
    run, table = recorded(folder)
    assert (run["run_group"], run["job_type"], run["display_name"]) == ("plan", "table", "plan, table")
    assert main(["report", PLAN, "--root", str(store), "--format", "csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()[-len(table["data"]) - 1 :]))
    assert len(rows) == len(table["data"]) > 5
    found = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    for ours, theirs in zip(found, rows, strict=True):
        assert (ours["row"], ours["column"], ours["seeds"]) == (theirs["row"], theirs["column"], theirs["seeds"])
        for name in ("mean", "std", "paper", "ci_low", "p_holm"):
            assert (ours[name] is None) == (theirs[name] == "")
            assert ours[name] is None or ours[name] == pytest.approx(float(theirs[name]))
    assert main(["ablate", PLAN, "--root", str(store)]) == 0
    assert len(stretches(store)) == 1, "nothing has run since"


def test_off_and_a_part_of_a_plan(store, monkeypatch):
    assert main(["ablate", PLAN, "--root", str(store), "--rows", "baseline"]) == 0
    assert main(["ablate", PLAN, "--root", str(store), "--wandb", "off"]) == 0
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert main(["ablate", PLAN, "--root", str(store)]) == 0
    assert stretches(store) == []


def test_a_wandb_that_fails_is_no_failure_of_the_plan(store, monkeypatch, capsys):
    monkeypatch.setattr("dupl.track.wandb_process.START", "import sys; sys.exit(3)")
    assert main(["ablate", PLAN, "--root", str(store), "--wandb", "offline"]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("wandb: ")]
    assert len(told) == 1 and told[0].endswith("(the table is in dupl report)")


def test_report_puts_it_there_where_asked(store, capsys):
    assert main(["report", PLAN, "--root", str(store)]) == 0
    assert stretches(store) == []
    assert main(["report", PLAN, "--root", str(store), "--wandb", "offline"]) == 0
    (folder,) = stretches(store)
    assert recorded(folder)[0]["job_type"] == "table"
    assert main(["report", str(next(store.glob("baseline*"))), "--wandb", "offline"]) == 2
    assert "these are for plans" in capsys.readouterr().err
