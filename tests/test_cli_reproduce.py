"""`dupl reproduce`: from a run's folder to the same run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dupl.cli import main
from dupl.runs import provenance
from dupl.runs.provenance import Code
from dupl.runs.run import Run


@pytest.fixture
def run(trained, monkeypatch):
    """A finished run, of the very code that is here."""
    status, diff = Run(trained).status, trained / "git.diff"
    code = Code(status.commit, status.dirty, diff.read_text() if diff.exists() else "")
    monkeypatch.setattr(provenance, "code", lambda: code)
    return trained


def test_check(run, capsys):
    assert main(["reproduce", str(run), "--check"]) == 0
    out = capsys.readouterr().out
    assert "DIFFERS" not in out and "command" not in out
    assert "same       data.train: 24 images" in out and "same       data.val: 8 images" in out


def test_check_says_what_differs(run, capsys):
    assert main(["reproduce", str(run), "--check", "--set", "data.train.count=23"]) == 1
    out = capsys.readouterr().out
    assert "DIFFERS    config: data.train.count: 24 -> 23" in out
    assert "DIFFERS    data.train: number of images (24 then, 23 now); names of images" in out


def test_the_command_is_printed(run, capsys):
    assert main(["reproduce", str(run)]) == 0
    assert f"command    dupl train {run}/config.py --work-dir {run}-again" in capsys.readouterr().out
    assert not Path(f"{run}-again").exists()


def test_trained_again_it_is_the_same(run, tmp_path, capsys):
    again = tmp_path / "again"
    assert main(["reproduce", str(run), "--out", str(again)]) == 0
    assert "same       scalars: " in capsys.readouterr().out
    assert Run(again).status.fingerprint == Run(run).status.fingerprint
    written = (again / "status.json").stat().st_mtime
    assert main(["reproduce", str(run), "--out", str(again)]) == 0, "only compared"
    assert (again / "status.json").stat().st_mtime == written


def test_another_result_is_told(run, tmp_path, capsys):
    again = tmp_path / "again"
    shutil.copytree(run, again)
    text = (again / "scalars.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    rows[-1] = {key: value if key == "iter" else -1.0 for key, value in rows[-1].items()}
    (again / "scalars.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["reproduce", str(run), "--out", str(again)]) == 1
    out, err = capsys.readouterr()
    assert "DIFFERS    scalars: " in out and "from iteration 24 on" in out
    assert err.splitlines()[-1].startswith(f"dupl: {again} differs from {run}")


def test_mistakes(run, tmp_path, capsys):
    assert main(["reproduce", str(run), "--out", str(run)]) == 2
    assert "is the run itself" in capsys.readouterr().err
    assert main(["reproduce", str(run), "--check", "--out", "x"]) == 2
    assert main(["reproduce", str(tmp_path)]) == 2
    assert "is it the folder of a run?" in capsys.readouterr().err


def test_other_data_at_resumption_is_told(tiny, trained, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    run = Run(folder)
    run.update(state="interrupted")
    data = run.read_json("data.json")
    data["train"]["names"] = "other"
    run.write_json("data.json", data)
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
    assert "data.train has changed since the run started (names of images (other then, " in capsys.readouterr().err
