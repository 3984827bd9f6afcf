"""Files cut off at any byte, as a power cut leaves them: the run goes on from what is whole, and says so."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from dupl.cli import main
from dupl.engine.checkpoints import newest_valid
from dupl.runs.run import Run


@pytest.fixture
def halfway(trained, tmp_path) -> Path:
    """A copy of the run as it was after iteration 20, but for rows that go on."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("val_*", "logs", "*.png", "*.html"))
    (folder / "checkpoints" / "iter_000024.pth").rename(folder / "checkpoints" / "iter_000015.pth")
    shutil.copy(folder / "checkpoints" / "iter_000020.pth", folder / "checkpoints" / "iter_000015.pth")
    Run(folder).update(state="running", iteration=20)
    return folder


def cut(file: Path, at: int) -> None:
    """Keep so many bytes."""
    file.write_bytes(file.read_bytes()[:at])


def goes_on(folder: Path, tiny: str, trained: Path, helpers, capsys) -> str:
    """Resume to the end, and be the same run; what was said."""
    assert main(["train", tiny, "--work-dir", str(folder), "--resume"]) == 0
    helpers.assert_same_run(folder, trained)
    assert Run(folder).status.state == "finished"
    return capsys.readouterr().err


def test_a_checkpoint_cut_anywhere_is_skipped(halfway):
    newest = halfway / "checkpoints" / "iter_000020.pth"
    whole, chance = newest.read_bytes(), random.Random(0)
    for at in (0, 1, *(chance.randrange(len(whole)) for _ in range(30)), len(whole) - 1):
        newest.write_bytes(whole[:at])
        file, skipped = newest_valid(halfway)
        assert file.name == "iter_000015.pth"
        assert len(skipped) == 1 and "iter_000020.pth cannot be loaded" in skipped[0]


def test_scalars_cut_anywhere_are_restored_from_the_checkpoint(halfway, tiny, trained, helpers, capsys):
    scalars = halfway / "scalars.jsonl"
    whole = scalars.read_bytes()
    rows = sum(row["iter"] <= 20 for row in Run(halfway).scalars())
    at = random.Random(0).randrange(len(whole) // 2)
    cut(scalars, at)
    left = whole[:at].count(b"\n")
    said = goes_on(halfway, tiny, trained, helpers, capsys)
    assert f"scalars.jsonl was corrupt: {rows - left} rows are restored from the checkpoint" in said


@pytest.mark.parametrize("tail", [b"\0" * 300, b"\n\n{}{\n"])
def test_scalars_that_end_in_rubbish(halfway, tiny, trained, helpers, capsys, tail):
    with open(halfway / "scalars.jsonl", "ab") as file:
        file.write(tail)
    goes_on(halfway, tiny, trained, helpers, capsys)


def test_scalars_that_are_whole_are_not_spoken_of(halfway, tiny, trained, helpers, capsys):
    assert "corrupt" not in goes_on(halfway, tiny, trained, helpers, capsys)


@pytest.mark.parametrize("at", [57, -2])
def test_a_status_cut_anywhere_is_restored_from_the_checkpoint(halfway, tiny, trained, helpers, capsys, at):
    before = Run(halfway).status
    cut(halfway / "status.json", at)
    assert main(["train", tiny, "--work-dir", str(halfway)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"dupl: {halfway / 'status.json'} is corrupt")
    assert line.endswith("resuming (--resume) restores it from the newest checkpoint")
    said = goes_on(halfway, tiny, trained, helpers, capsys)
    assert "status.json was corrupt: restored from iter_000020.pth" in said
    after = Run(halfway).status
    for name in ("fingerprint", "seed", "created", "started", "commit", "command", "versions", "iterations"):
        assert getattr(after, name) == getattr(before, name), name


def test_newest_checkpoint_scalars_and_status_at_once(halfway, tiny, trained, helpers, capsys):
    for name, at in (("checkpoints/iter_000020.pth", 5000), ("scalars.jsonl", 400), ("status.json", 20)):
        cut(halfway / name, at)
    cut(halfway / "config.py", 100)
    said = goes_on(halfway, tiny, trained, helpers, capsys)
    assert "skipped" in said and "resuming from iter_000015.pth" in said
    assert "status.json was corrupt: restored from iter_000015.pth" in said
    assert (halfway / "config.py").read_text() == (trained / "config.py").read_text()


def test_without_a_checkpoint_a_damaged_status_starts_anew(halfway, tiny, trained, helpers, capsys):
    for file in (halfway / "checkpoints").glob("iter_*"):
        file.unlink()
    cut(halfway / "status.json", 33)
    said = goes_on(halfway, tiny, trained, helpers, capsys)
    assert "there is no checkpoint" in said and "starting from scratch" in said


def test_damaged_facts_of_the_data_are_written_anew(halfway, tiny, trained, helpers, capsys):
    cut(halfway / "data.json", 20)
    assert main(["train", tiny, "--work-dir", str(halfway), "--resume"]) == 0
    assert "data.json is corrupt" in " ".join(capsys.readouterr().err.split())
    assert (halfway / "data.json").read_bytes() == (trained / "data.json").read_bytes()


def test_a_damaged_config_is_written_anew(halfway, tiny, trained, helpers, capsys):
    cut(halfway / "config.py", 700)
    assert "config.py was corrupt: written again" in goes_on(halfway, tiny, trained, helpers, capsys)
    assert (halfway / "config.py").read_text() == (trained / "config.py").read_text()


def test_another_runs_folder_is_not_mended(halfway, tiny, capsys):
    cut(halfway / "status.json", 33)
    files = {f: f.read_bytes() for f in halfway.rglob("*") if f.is_file()}
    assert main(["train", tiny, "--work-dir", str(halfway), "--resume", "--set", "runtime.seed=1"]) == 2
    assert "the folder is of another run" in capsys.readouterr().err.splitlines()[-1]
    assert {f: f.read_bytes() for f in halfway.rglob("*") if f.is_file()} == files
