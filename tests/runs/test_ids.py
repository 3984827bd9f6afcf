"""Runs that an earlier version gave another id are the runs of today's."""

import json

import pytest

from dupl.config import aliases, catalogue
from dupl.config.fingerprint import config_id
from dupl.errors import UserError
from dupl.report.pages.run_files import read_run
from dupl.runs import ids, provenance, reproduce, status
from dupl.runs.provenance import Code
from dupl.runs.run import Run
from dupl.runs.selection import select
from dupl.runs.store import RunStore

CONFIG = {"steps": 5, "hooks": [{"type": "EMAHook"}], "model": {"type": "Toy", "backbone": {"weights": None}}}
OLD = ids.old_id(CONFIG)
NEW = config_id(CONFIG)
FILES = {"data": {"train": {"type": "TaggedFolder", "root": "/mnt/a", "split": "train"}}}
RECORD = {"type": "TaggedFolder", "images": 4, "classes": "c1", "names": "n1", "tags": "t1", "sizes": "s1"}


def old_run(folder, config=CONFIG, record=None):
    """An interrupted run of a config, as version 0.1 left it."""
    made = Run.create(folder, catalogue.to_text(config), ids.old_id(config), ["dupl", "train", "toy"], seed=3)
    values = made.read_json("status.json")
    del values["id_version"]
    made.write_json("status.json", values)
    if record is not None:
        made.write_json("data.json", {"train": record})
    made.update(state="interrupted")
    return made


@pytest.fixture
def run(tmp_path):
    return old_run(tmp_path / f"toy-{OLD}")


def test_it_is_found_by_the_id_of_today(run):
    assert OLD != NEW, "hooks count today"
    store = RunStore(run.path.parent)
    stored = store.find(NEW)
    assert stored.path == run.path and stored.recipe == "toy"
    assert read_run(run.path).recipe == "toy"
    assert store.find(OLD) is None


def test_nothing_on_disk_is_renamed(run):
    assert run.update(state="running").fingerprint == NEW
    assert run.read_json("status.json")["fingerprint"] == OLD
    assert run.path.name == f"toy-{OLD}"


def test_its_config_is_what_was_recorded(run, monkeypatch):
    monkeypatch.setattr(provenance, "code", lambda: Code("c0ffee", False, ""))
    (config,) = (check for check in reproduce.checks(run, CONFIG, {}) if check.what == "config")
    assert (config.same, config.told) == (True, NEW)


def test_a_config_that_was_changed_since_keeps_the_stored_id(run):
    run.write_text("config.py", catalogue.to_text({**CONFIG, "steps": 6}))
    assert run.status.fingerprint == OLD


def test_of_files_it_is_the_run_of_the_one_data_set_that_its_record_fits(tmp_path, monkeypatch):
    monkeypatch.setenv("DUPL_CACHE", str(tmp_path / "cache"))
    made = old_run(tmp_path / "mine", FILES, RECORD)
    old = aliases.old_data_id(RECORD, [])
    assert made.status.fingerprint == f"{config_id(FILES)}-{old}", "its data are not known here"
    aliases.note_alias(old, "11111111")
    assert made.status.fingerprint == f"{config_id(FILES)}-11111111"
    aliases.note_alias(old, "22222222")
    assert made.status.fingerprint == f"{config_id(FILES)}-{old}", "two sets of the same names, tags and sizes"


def test_a_status_of_today_keeps_its_id(tmp_path):
    made = Run.create(tmp_path / "run", catalogue.to_text(CONFIG), "0123456789ab-01234567", ["dupl"], seed=0)
    assert made.status.fingerprint == "0123456789ab-01234567"
    assert json.loads((made.path / "status.json").read_text())["id_version"] == ids.VERSION
    assert status.read_status(made.path).id_version == ids.VERSION


def test_names_of_folders():
    assert ids.recipe_of(f"toy-{OLD}", "0") == "toy"
    assert ids.recipe_of("voc-dupl-0123456789ab-01234567", "0") == "voc-dupl"
    assert ids.recipe_of("mine", OLD) == "mine"
    assert ids.parts("0123456789ab-01234567") == ("0123456789ab", "01234567")
    assert ids.parts("0123456789ab") == ("0123456789ab", None)


def test_a_name_may_be_the_old_id_of_the_folder_or_the_part_of_the_config(tmp_path):
    old_run(tmp_path / f"toy-{OLD}")
    for i, data in enumerate(("11111111", "22222222")):
        Run.create(tmp_path / f"{i}", catalogue.to_text(CONFIG), f"aaaaaaaaaaaa-{data}", ["dupl"], seed=0)
    Run.create(tmp_path / "2", catalogue.to_text(CONFIG), "bbbbbbbbbbbb-11111111", ["dupl"], seed=0)
    runs = RunStore(tmp_path).runs()

    def named(name):
        return [run.path.name for run in select(runs, [name])]

    assert named(OLD) == named(NEW) == [f"toy-{OLD}"]
    assert named("bbbbbbbbbbbb") == ["2"] and named("aaaaaaaaaaaa-22222222") == ["1"]
    with pytest.raises(UserError, match="several fingerprints: give one of aaaaaaaaaaaa-11111111, aaaaaaaaaaaa-2"):
        named("aaaaaaaaaaaa")
    with pytest.raises(UserError, match="no run 11111111 in the store"):
        named("11111111")
