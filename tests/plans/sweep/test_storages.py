"""Storages of studies: files of any name, and servers that are away for a while."""

import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from sqlalchemy.exc import OperationalError

from dupl.errors import Notice, RunError
from dupl.plans import patience
from dupl.plans.study import open_storage


@pytest.mark.parametrize("scheme", ["sqlite:///", "journal:"])
@pytest.mark.parametrize("name", ["why?", "a%20b", "{x}", "{}", "sp ace#1", "plain"])
def test_a_file_of_any_name_below_any_folder(tmp_path, scheme, name):
    file = tmp_path / name / "study.db"
    for _ in range(2):
        storage = open_storage(f"{scheme}{file}")
        study = optuna.create_study(study_name="s", storage=storage, load_if_exists=True)
        study.add_trial(optuna.trial.create_trial(value=1.0))
    assert len(study.trials) == 2
    assert file.is_file() and [one.name for one in tmp_path.iterdir()] == [name]


def test_a_relative_journal_keeps_its_lock_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(storage=open_storage("journal:deep/er/study.log"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    assert len(study.trials) == 1
    assert [p.name for p in (tmp_path / "deep/er").iterdir()] == ["study.log"]
    assert list(Path().iterdir()) == []


@pytest.fixture
def away(monkeypatch):
    """A storage that does not answer the first calls."""
    monkeypatch.setattr(patience, "AGAIN", 0.01)

    def make(times, limit=10.0):
        left = [times]

        def get_all_studies():
            if left[0]:
                left[0] -= 1
                cause = OperationalError("select", {}, Exception("the database system is shutting down"))
                raise optuna.exceptions.StorageInternalError("internal") from cause
            return ["found"]

        def get_n_trials():
            raise KeyError("no such study")

        storage = SimpleNamespace(get_all_studies=get_all_studies, get_n_trials=get_n_trials)
        return patience.make_patient(storage, "postgresql://me@db/s", limit)

    return make


def test_a_server_that_comes_back_is_waited_for_with_a_line(away):
    with pytest.warns(Notice, match=r"storage postgresql://me@db/s does not answer \(the database system is shutting"):
        assert away(5).get_all_studies() == ["found"]


def test_but_not_for_ever_and_the_cause_is_named(away):
    with (
        pytest.warns(Notice),
        pytest.raises(RunError, match=r"not answered for 0.05 s: the database system is shutting down"),
    ):
        away(10**6, limit=0.05).get_all_studies()


def test_other_errors_are_not_repeated(away):
    with pytest.raises(KeyError, match="no such study"):
        away(0).get_n_trials()


def test_nobody_waits_for_a_storage_that_was_given_up(away):
    storage, told = away(10**6), []

    def ask():
        with pytest.raises(RunError, match=r"postgresql://me@db/s does not answer: the database system") as caught:
            storage.get_all_studies()
        told.append(str(caught.value))

    with pytest.warns(Notice):
        asking = threading.Thread(target=ask)
        asking.start()
        while not patience.given_up(storage):
            patience.give_up(storage)
        asking.join(5)
    assert told == [patience.given_up(storage)]
    ask()


def test_a_storage_that_answers_is_asked_though_it_was_given_up(away):
    storage = away(0)
    patience.give_up(storage)
    assert storage.get_all_studies() == ["found"] and patience.given_up(storage) == ""


def test_the_second_ctrl_c_does_not_wait_for_the_storage(lab, monkeypatch):
    """The server goes away for good in the middle of a sweep of two workers."""
    import sweep_drive

    from dupl.execute import job

    monkeypatch.setattr(job, "train_command", sweep_drive.toy_command)
    file, storage, gone = lab.sweep(toy=dict(pace=0.05)), open_storage(lab.url()), threading.Event()
    for name in ("get_trial", "get_all_trials", "set_trial_user_attr", "set_trial_intermediate_value"):
        monkeypatch.setattr(storage, name, _unless(gone, getattr(storage, name)))
    monkeypatch.setattr(sweep_drive, "open_storage", lambda _: patience.make_patient(storage, "postgresql://me@db/s"))
    begin = []

    def tell(news):
        if news.what == "evaluated" and not gone.is_set():
            gone.set()
            for after in (0.5, 1.0):
                threading.Timer(after, lambda: (begin.append(time.monotonic()), signal.raise_signal(2))).start()

    with pytest.warns(Notice, match="does not answer"):
        _, why = sweep_drive.search(file, "", lab.root, 6, 2, tell)
    assert why == "interrupted"
    assert time.monotonic() - begin[1] < 10
    assert patience.given_up(storage)


def _unless(gone, work):
    def call(*args, **kwargs):
        if gone.is_set():
            raise OperationalError("select", {}, Exception("connection refused"))
        return work(*args, **kwargs)

    return call
