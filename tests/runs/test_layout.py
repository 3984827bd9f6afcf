"""Runs of other versions: older ones are read, newer ones refused in a line that says what to do."""

import json

import pytest

from dupl.cli import main
from dupl.errors import UserError
from dupl.lock import hold
from dupl.runs.files import CorruptFile
from dupl.runs.run import Run
from dupl.runs.status import LAYOUT
from dupl.runs.store import RunStore

REFUSAL = f"status.json is of layout {LAYOUT + 1}, this version reads up to {LAYOUT}: update dupl (pip install -U"


@pytest.fixture
def run(tmp_path):
    made = Run.create(tmp_path / "runs" / "a-0123456789ab", "a = 1\n", "0123456789ab", ["dupl"], seed=3)
    made.update(state="interrupted", iteration=7)
    return made


def write(run, **changes) -> None:
    """Change the status as another version, or somebody, would."""
    values = {**run.read_json("status.json"), **changes}
    text = json.dumps({key: value for key, value in values.items() if value is not ...})
    (run.path / "status.json").write_text(text)


def test_a_run_without_a_layout_is_of_the_first_and_gets_its_number(run):
    write(run, layout=..., machine=..., versions=...)
    assert run.status.layout == 1
    assert [stored.state for stored in RunStore(run.path.parent).runs()] == ["interrupted"]
    run.update(state="running")
    assert run.read_json("status.json")["layout"] == LAYOUT


def test_a_newer_one_is_refused_and_left_as_it_is(run, capsys):
    write(run, layout=LAYOUT + 1, seed={"of": "another kind"})
    before = (run.path / "status.json").read_bytes()
    with pytest.raises(UserError) as caught:
        run.update(state="running")
    assert REFUSAL in str(caught.value) and not isinstance(caught.value, CorruptFile)
    store = RunStore(run.path.parent)
    assert store.runs() == []
    assert REFUSAL in store.skipped[0][1]
    assert main(["runs", "--root", str(run.path.parent)]) == 0
    assert REFUSAL in capsys.readouterr().err
    assert (run.path / "status.json").read_bytes() == before


@pytest.mark.parametrize("layout", [0, -1, True, "1", None, 1.0, [1]])
def test_one_that_means_nothing_is_corrupt(run, layout):
    write(run, layout=layout)
    with pytest.raises(CorruptFile, match="layout is"):
        _ = run.status


def test_a_run_whose_folder_is_locked_is_not_removed(run, capsys):
    store = RunStore(run.path.parent)
    (stored,) = store.runs()
    argv = ["runs", "0123456789ab", "--root", str(run.path.parent), "--rm", "--yes"]
    with hold(run.path):
        assert "holds it" in store.kept(stored)
        assert main(argv) == 1
        kept = [line for line in capsys.readouterr().err.splitlines() if "kept" in line]
        assert len(kept) == 1 and "holds it" in kept[0]
        with pytest.raises(UserError, match="is kept: process .* holds it"):
            store.remove(stored)
    assert run.exists()
    assert main(argv) == 0
    assert not run.path.exists()
