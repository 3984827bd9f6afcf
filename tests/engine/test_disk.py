"""A disk that fills up, or turns read-only, at each kind of write: one clear line, nothing lost, and on it goes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dupl.cli import main
from dupl.runs.run import Run

KINDS = {  # name of a file, and which of its writes fails
    "status.json": 4,
    "iter_000010.pth": 1,
    "best.pth": 2,
    "metrics.json": 2,
    "confusion.csv": 2,
    "iter_000016.webp": 1,
}


@pytest.fixture
def fail(monkeypatch):
    """Makes the n-th time that a file gets its name fail."""

    def fail(name: str, count: int, code: int) -> None:
        replace, seen = os.replace, []

        def refuse(source, target):
            if Path(target).name == name:
                seen.append(target)
                if len(seen) >= count:
                    raise OSError(code, os.strerror(code), str(target))
            replace(source, target)

        monkeypatch.setattr(os, "replace", refuse)

    return fail


@pytest.mark.parametrize("name", KINDS)
def test_full_while_training(tiny, trained, tmp_path, helpers, fail, monkeypatch, capsys, name):
    folder = tmp_path / "run"
    with monkeypatch.context():
        fail(name, KINDS[name], errno.ENOSPC)
        assert main(["train", tiny, "--work-dir", str(folder)]) == 74
    monkeypatch.undo()
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("dupl: ") and "No space left on device" in line and name in line
    assert not [file for file in folder.rglob(".*")], "no draft takes room"
    assert Run(folder).status.state in ("failed", "running")
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
    helpers.assert_same_run(folder, trained)


def test_full_while_a_row_of_scalars_is_written(tiny, trained, tmp_path, helpers, monkeypatch, capsys):
    folder, append = tmp_path / "run", Run.append_scalars

    def half(self, row):
        if row["iter"] < 12:
            return append(self, row)
        with open(self.path / "scalars.jsonl", "a") as file:
            file.write('{"iter": 12, "lo')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path / "scalars.jsonl"))

    monkeypatch.setattr(Run, "append_scalars", half)
    assert main(["train", tiny, "--work-dir", str(folder)]) == 74
    assert "disk full" in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.undo()
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
    helpers.assert_same_run(folder, trained)


@pytest.mark.parametrize("name", ["config.py", "status.json", "data.json"])
def test_full_at_the_start(tiny, trained, tmp_path, helpers, fail, monkeypatch, capsys, name):
    folder = tmp_path / "run"
    fail(name, 1, errno.ENOSPC)
    assert main(["train", tiny, "--work-dir", str(folder)]) == 74
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("dupl: disk full") and "No space left on device" in line
    monkeypatch.undo()
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
    helpers.assert_same_run(folder, trained)


@pytest.mark.parametrize("command", ["train", "eval", "report", "infer"])
def test_a_folder_that_cannot_be_written(tiny, trained, tmp_path, monkeypatch, capsys, command):
    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "there")

    photo = str(next((Path(__file__).parents[2] / "docs").glob("*.png")))
    argv = {
        "train": ["train", tiny, "--work-dir", str(tmp_path / "run")],
        "eval": ["eval", str(trained), "--checkpoint", "last"],
        "report": ["report", str(trained)],
        "infer": ["infer", str(trained), photo, "--out", str(tmp_path / "out")],
    }[command]
    monkeypatch.setattr(os, "replace", refuse)
    assert main(argv) in (1, 2)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("dupl: ") and "Read-only file system" in line
