import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dupl.atomic import atomic_write
from dupl.errors import UserError
from dupl.runs.provenance import Code, code, versions
from dupl.runs.run import Run


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "runs" / "a", "a = 1\n", "0123456789ab", ["dupl", "train", "r"], seed=3)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


class TestStatus:
    def test_a_new_run_says_where_it_comes_from(self, run):
        status = run.status
        assert (status.state, status.seed, status.fingerprint) == ("created", 3, "0123456789ab")
        assert status.command == ["dupl", "train", "r"]
        assert status.pid == os.getpid()
        assert status.versions["numpy"] == np.__version__
        assert datetime.fromisoformat(status.created).utcoffset().total_seconds() == 0
        assert run.config_path.read_text() == "a = 1\n"
        assert run.exists()

    def test_a_run_is_not_overwritten(self, run):
        with pytest.raises(UserError, match="holds a run already"):
            Run.create(run.path, "", "", [], 0)
        assert run.config_path.read_text() == "a = 1\n"

    def test_a_folder_with_other_things_may_become_one(self, tmp_path):
        (tmp_path / "log.txt").write_text("")
        assert Run.create(tmp_path, "", "", [], 0).exists()

    def test_it_starts_fails_starts_again_and_finishes(self, run):
        first = run.update(state="running", iterations=10)
        assert first.started
        assert first.ended is None
        failed = run.update(state="failed", error="L_seg is NaN\n  at iteration 3", iteration=3, seconds=1.5)
        assert failed.ended
        assert failed.error == "L_seg is NaN at iteration 3"
        again = run.update(state="running")
        assert (again.started, again.ended, again.error) == (first.started, None, None)
        assert (again.iteration, again.seconds, again.iterations) == (3, 1.5, 10)
        assert run.update(state="finished").ended
        assert run.status == Run(run.path).status
        assert run.status.state == "finished"

    def test_a_misspelt_field_or_state_is_a_bug(self, run):
        with pytest.raises(TypeError):
            run.update(iteratoin=3)
        with pytest.raises(ValueError, match="no state 'done'"):
            run.update(state="done")
        assert run.status.state == "created"

    def test_fields_of_a_newer_version_are_passed_over(self, run):
        run.write_json("status.json", {**run.read_json("status.json"), "new": 1})
        assert run.status.seed == 3

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", "null", '{"state": "created"}', '{"state": "odd", "seed": 1}', "\x00"]
    )
    def test_a_damaged_status_is_one_line(self, run, text):
        (run.path / "status.json").write_text(text)
        with pytest.raises(UserError, match=r"status\.json is corrupt") as caught:
            _ = run.status
        assert "\n" not in str(caught.value)

    def test_a_folder_that_holds_no_run(self, tmp_path):
        assert not Run(tmp_path).exists()
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(UserError, match=r"holds no status\.json"):
                Run(path).update(state="running")


class TestScalars:
    def test_rows_come_back(self, run):
        assert run.scalars() == []
        run.append_scalars({"iter": 1, "L_seg": float("nan"), "lr": np.float32(0.5), "n": np.int64(2)})
        run.append_scalars({"iter": 2, "L_seg": np.float64("inf"), "cam/1/mIoU": 71.25, "name": "ä"})
        assert run.scalars() == [
            {"iter": 1, "L_seg": None, "lr": 0.5, "n": 2},
            {"iter": 2, "L_seg": None, "cam/1/mIoU": 71.25, "name": "ä"},
        ]

    @pytest.mark.parametrize("tail", ['{"iter": 2, "x"', '{"iter": 2}', "{"])
    def test_a_line_without_its_end_is_no_row_and_is_cut_off(self, run, tail):
        run.append_scalars({"iter": 1})
        with open(run.path / "scalars.jsonl", "a") as file:
            file.write(tail)
        assert run.scalars() == [{"iter": 1}]
        run.append_scalars({"iter": 3})
        assert run.scalars() == [{"iter": 1}, {"iter": 3}]

    def test_a_first_line_without_its_end(self, run):
        (run.path / "scalars.jsonl").write_text('{"iter"')
        assert run.scalars() == []
        run.append_scalars({"iter": 1})
        assert run.scalars() == [{"iter": 1}]

    @pytest.mark.parametrize("line", ["{", "3", '"text"', ""])
    def test_damage_in_the_middle_is_named(self, run, line):
        (run.path / "scalars.jsonl").write_text(f'{{"iter": 1}}\n{line}\n{{"iter": 2}}\n')
        with pytest.raises(UserError, match=r"scalars\.jsonl, line 2 is corrupt"):
            run.scalars()

    def test_a_resumed_run_drops_what_it_will_write_again(self, run):
        run.truncate_scalars(0)
        for iteration in range(1, 6):
            run.append_scalars({"iter": iteration, "x": 0.1 * iteration})
        before = run.scalars()
        run.truncate_scalars(3)
        assert run.scalars() == before[:3]
        run.truncate_scalars(3)
        assert run.scalars() == before[:3]

    def test_killed_in_the_middle_every_row_is_whole(self, run):
        program = (
            "import sys; from dupl.runs.run import Run\n"
            "run = Run(sys.argv[1])\n"
            "for i in range(10**9):\n"
            "    run.append_scalars({'iter': i, 'x': 'y' * 500})\n"
            "    if i % 20 == 0: run.update(iteration=i)\n"
            "    if i == 100: print('go', flush=True)\n"
        )
        command = [sys.executable, "-c", program, str(run.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            process.kill()
        rows = run.scalars()
        assert [row["iter"] for row in rows] == list(range(len(rows)))
        assert run.status.iteration >= 100


class TestFiles:
    def test_csv(self, run):
        path = run.write_csv(
            "eval/200/per_class.csv",
            ["class", "IoU", "n"],
            [("cat, big", 71.123456789012, np.int64(3)), ("dog", float("nan"), None)],
        )
        assert path.read_text() == 'class,IoU,n\n"cat, big",71.123456789012,3\ndog,,\n'

    def test_a_csv_row_that_does_not_fit_writes_nothing(self, run):
        with pytest.raises(ValueError, match="1 values for 2 columns"):
            run.write_csv("a.csv", ["a", "b"], [(1, 2), (3,)])
        assert "a.csv" not in files(run.path)

    @given(st.dictionaries(st.text(), st.floats() | st.lists(st.integers()) | st.text() | st.none()))
    def test_json_is_json(self, value):
        with tempfile.TemporaryDirectory() as folder:
            run = Run(folder)
            text = run.write_json("a.json", value).read_text()
            json.loads(text, parse_constant=pytest.fail)
            finite = {k: v for k, v in value.items() if not isinstance(v, float) or np.isfinite(v)}
            assert {k: v for k, v in run.read_json("a.json").items() if k in finite} == finite

    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch):
        path = tmp_path / "a.txt"
        atomic_write(path, b"old")

        def fail(descriptor):
            raise OSError("no space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space"):
            atomic_write(path, b"new")
        assert path.read_bytes() == b"old"
        assert files(tmp_path) == ["a.txt"]

    def test_others_may_read_what_was_written(self, tmp_path):
        before = os.umask(0o022)
        try:
            atomic_write(tmp_path / "sub" / "a.txt", b"")
        finally:
            os.umask(before)
        assert (tmp_path / "sub" / "a.txt").stat().st_mode & 0o777 == 0o644


class TestProvenance:
    @pytest.fixture
    def checkout(self, tmp_path, monkeypatch):
        for name in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{name}_NAME", "a")
            monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
        (tmp_path / "a.py").write_text("a = 1\n")
        for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
            subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
        return tmp_path

    def test_a_clean_checkout(self, checkout):
        found = code(checkout)
        assert len(found.commit) == 40
        assert found == Code(found.commit, dirty=False)

    def test_a_changed_one_comes_with_a_patch_that_applies(self, checkout):
        (checkout / "a.py").write_text("a = 2\n")
        (checkout / "new.py").write_text("")
        found = code(checkout)
        assert found.dirty
        assert "# ?? new.py\n" in found.diff
        (checkout / "a.py").write_text("a = 1\n")
        subprocess.run(["git", "-C", str(checkout), "apply"], input=found.diff.encode(), check=True)
        assert (checkout / "a.py").read_text() == "a = 2\n"

    def test_an_installed_package_inside_a_checkout_is_none(self, checkout):
        (checkout / "site-packages").mkdir()
        assert code(checkout / "site-packages") == Code()

    def test_no_checkout_and_no_git(self, tmp_path, checkout, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
        assert code(checkout) == Code()

    def test_a_dirty_run_keeps_its_diff(self, checkout, tmp_path, monkeypatch):
        (checkout / "a.py").write_text("a = 2\n")
        monkeypatch.setattr("dupl.runs.provenance.code", lambda: code(checkout))
        run = Run.create(tmp_path / "run", "", "", [], 0)
        assert run.status.dirty
        assert "+a = 2" in (run.path / "git.diff").read_text()

    def test_versions(self):
        found = versions()
        assert found["numpy"] == np.__version__
        assert found["python"].startswith(f"{sys.version_info.major}.")
