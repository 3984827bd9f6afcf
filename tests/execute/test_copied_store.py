"""A store that was copied works on its own runs, not on those it was copied from; and one id is one folder."""

from __future__ import annotations

import shutil
import threading

from dupl.execute.job import Job
from dupl.execute.run_folder import folder_of, take_folder
from dupl.runs.run import Run


def job(root, name) -> Job:
    return Job("f", "", str(root), str(root / name), (), str(root))


def test_a_finished_run_of_the_same_fingerprint_goes_before_one_that_was_begun(tmp_path):
    assert take_folder(job(tmp_path, "begun")) == tmp_path / "begun"
    Run.create(tmp_path / "begun", "", "f", [], 0)
    theirs = Run.create(tmp_path / "copied", "", "f", [], 0)
    assert folder_of(job(tmp_path, "copied")) == tmp_path / "begun"
    theirs.update(state="finished")
    assert folder_of(job(tmp_path, "copied")) == tmp_path / "copied"


def test_the_places_of_a_copied_store_are_in_the_copy(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    take_folder(job(old, "plan-a/run"))
    Run.create(old / "plan-a" / "run", "", "f", [], 0)
    shutil.copytree(old, new)
    assert folder_of(job(old, "run")) == old / "plan-a" / "run", "which another plan has made"
    assert folder_of(job(new, "run")) == new / "plan-a" / "run"


def test_a_place_outside_the_store_or_gone_does_not_count(tmp_path):
    root, one = tmp_path / "store", job(tmp_path / "store", "run")
    take_folder(job(root, "other"))
    (tmp_path / "outside").mkdir()
    note = root / ".plans" / "f.folder"
    assert note.read_text() == "other\n"
    for text in ("../outside", str(tmp_path / "outside"), "gone", "\0"):
        note.write_text(text)
        assert folder_of(one) == root / "run", text


def test_plans_that_name_a_run_differently_at_the_same_moment_get_one_folder(tmp_path):
    barrier, places = threading.Barrier(6), []

    def take(i: int) -> None:
        barrier.wait()
        places.append(take_folder(job(tmp_path, f"plan-{i}"), patience=0.01))

    threads = [threading.Thread(target=take, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(places)) == 1 and places[0].is_dir()
