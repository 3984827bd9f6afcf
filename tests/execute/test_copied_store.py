"""A store that was copied with its leases works on its own runs, not on those it was copied from."""

from __future__ import annotations

import shutil

from dupl.execute.job import Job
from dupl.execute.worker import place_of
from dupl.runs.lease import Leases
from dupl.runs.run import Run


def test_a_finished_run_of_the_same_fingerprint_goes_before_one_that_was_begun(tmp_path):
    Run.create(tmp_path / "begun", "", "f", [], 0)
    Leases(tmp_path).take("f", "ticket", tmp_path / "begun", 60.0).end("interrupted")
    claim = Leases(tmp_path).last("f")
    theirs = Run.create(tmp_path / "copied", "", "f", [], 0)
    job = Job("f", "", str(tmp_path), str(tmp_path / "copied"), (), str(tmp_path))
    assert place_of(job, claim) == tmp_path / "begun"
    theirs.update(state="finished")
    assert place_of(job, claim) == tmp_path / "copied"


def test_the_claims_of_a_copied_store_name_folders_of_the_old_one(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    Run.create(old / "plan-a" / "run", "", "f", [], 0)
    lease = Leases(old).take("f", "ticket", old / "plan-a" / "run", 60.0)
    lease.end("interrupted")
    shutil.copytree(old, new)

    def job(root):
        return Job("f", "", str(root), str(root / "run"), (), str(tmp_path))

    assert place_of(job(old), Leases(old).last("f")) == old / "plan-a" / "run", "which another plan has made"
    assert place_of(job(new), Leases(new).last("f")) == new / "run"
