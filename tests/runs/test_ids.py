"""Runs that an earlier version gave another id are the runs of today's."""

import pytest

from dupl.config import catalogue
from dupl.config.fingerprint import fingerprint
from dupl.report.pages.run_files import read_run
from dupl.runs import ids, provenance, reproduce
from dupl.runs.provenance import Code
from dupl.runs.run import Run
from dupl.runs.store import RunStore

CONFIG = {"steps": 5}
OLD = "0123456789ab"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """An interrupted run of the config, stored under an old id that stands in the table."""
    made = Run.create(tmp_path / f"toy-{OLD}", catalogue.to_text(CONFIG), OLD, ["dupl", "train", "toy"], seed=3)
    made.update(state="interrupted")
    monkeypatch.setitem(ids.ALIASES, OLD, fingerprint(CONFIG))
    return made


def test_it_is_found_by_the_id_of_today(run):
    store = RunStore(run.path.parent)
    stored = store.find(fingerprint(CONFIG))
    assert stored.path == run.path and stored.recipe == "toy"
    assert read_run(run.path).recipe == "toy"
    assert store.find(OLD) is None


def test_nothing_on_disk_is_renamed(run):
    assert run.update(state="running").fingerprint == fingerprint(CONFIG)
    assert run.read_json("status.json")["fingerprint"] == OLD
    assert run.path.name == f"toy-{OLD}"


def test_its_config_is_what_was_recorded(run, monkeypatch):
    monkeypatch.setattr(provenance, "code", lambda: Code("c0ffee", False, ""))
    (config,) = (check for check in reproduce.checks(run, CONFIG, {}) if check.what == "config")
    assert (config.same, config.told) == (True, fingerprint(CONFIG))


def test_other_ids_stay():
    assert ids.current(OLD) == OLD
    assert ids.recipe_of(f"toy-{OLD}", OLD) == "toy"
    assert ids.recipe_of("mine", OLD) == "mine"


def test_an_id_leads_to_one_of_today():
    assert not ids.ALIASES.keys() & set(ids.ALIASES.values())
