"""What the command line says to a person who does not know it yet: bare ``dupl``, and words that are no command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dupl.cli import main
from dupl.cli.welcome import what_next

STORE = Path(__file__).parent / "fixtures" / "store"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_empty_folder_says_where_to_begin(folder, capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("There is no run in this folder yet.")
    assert [line.split("  ")[1] for line in lines[2:6]] == [
        "dupl demo",
        "dupl show",
        "dupl train photos/ --tags tags.csv",
        "dupl doctor",
    ]
    assert lines[-1] == "dupl --help lists all commands"


def test_own_recipes_come_first(folder):
    (folder / "mine.py").write_text('_base_ = ["voc/dupl"]\ndata = dict()\n')
    (folder / "other.py").write_text("print(1)\n")
    lines = what_next()
    assert lines[2].split() == ["dupl", "train", "mine.py", "trains", "the", "recipe", "in", "this", "folder"]
    assert not any("other.py" in line for line in lines)


def test_an_interrupted_run_is_continued_by_its_own_command(folder):
    shutil.copytree(STORE, folder / "runs")
    status = folder / "runs" / "L_reg-0" / "status.json"
    facts = json.loads(status.read_text())
    facts |= {"state": "interrupted", "iteration": 40, "command": ["/x/bin/dupl", "train", "a b.py", "--set", "x=1"]}
    status.write_text(json.dumps(facts))
    lines = what_next()
    assert lines[0] == "runs/ holds 6 runs: 5 finished, 1 interrupted"
    assert lines[2].split("  ")[1] == "dupl train 'a b.py' --set x=1 --resume"
    assert "L_reg-0: interrupted at iteration 40 of 90" in lines[2]
    status.write_text(json.dumps(facts | {"command": ["python", "script.py"]}))
    assert "dupl train runs/L_reg-0/config.py --work-dir runs/L_reg-0 --resume" in what_next()[2]


def test_a_plan_half_done_goes_on(folder):
    shutil.copytree(STORE, folder / "runs")
    plan = (STORE.parent / "plan.py").read_text().replace("../..", str(STORE.parents[2]))
    (folder / "plan.py").write_text(plan)
    assert main(["ablate", "plan.py", "--rows", "L_reg"]) == 0
    assert any("dupl ablate plan " in line and "continues: 2 of 6 runs finished" in line for line in what_next())
    assert main(["ablate", "plan.py"]) == 0
    assert any("dupl report plan " in line and "the table: 6 runs finished" in line for line in what_next())
    status = folder / "runs" / "L_reg-1" / "status.json"
    status.write_text(json.dumps(json.loads(status.read_text()) | {"state": "failed", "error": "x"}))
    assert any("dupl ablate plan " in line and "continues: 5 of 6 runs finished" in line for line in what_next())


@pytest.mark.parametrize(
    "word, told",
    [
        ("trian", "there is no command trian; did you mean train?"),
        ("reports", "there is no command reports; did you mean report?"),
        ("xyz", "there is no command xyz: give one of demo, train,"),
        ("\x1b[2J", "there is no command \\x1b[2J"),
    ],
)
def test_an_unknown_command_is_told_in_one_line(word, told, capsys):
    assert main([word, "voc/dupl"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"dupl: {told}")


def test_a_run_without_its_status_is_not_called_unknown(folder, capsys):
    shutil.copytree(STORE, folder / "runs")
    (folder / "runs" / "L_dis-0" / "status.json").unlink()
    assert main(["runs", "runs/L_dis-0"]) == 2
    assert "runs/L_dis-0 cannot be read: status.json is missing" in capsys.readouterr().err
    (folder / "runs" / "L_dis-1" / "status.json").write_text("{")
    assert main(["runs", "runs/L_dis-1"]) == 2
    assert "runs/L_dis-1 cannot be read: " in capsys.readouterr().err
    assert main(["runs", str(STORE / "L_reg-0")]) == 2
    assert "lies outside the store" in capsys.readouterr().err
