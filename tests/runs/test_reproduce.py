"""What `dupl reproduce` finds out, from a run's files alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from dupl.config import catalogue
from dupl.config.fingerprint import config_id
from dupl.errors import UserError
from dupl.runs import layout, provenance, reproduce
from dupl.runs.provenance import Code
from dupl.runs.run import Run
from dupl.runs.seeds import spread_of_seeds

CONFIG = {"model": {"type": "M"}, "runtime": {"seed": 1}}
DATA = {"train": dict(type="VOC", images=3, classes="a", names="b", tags="c", sizes="d")}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of a clean checkout."""
    monkeypatch.setattr(provenance, "code", lambda: Code("c0ffee", False, ""))
    made = Run.create(tmp_path / "run", catalogue.to_text(CONFIG), config_id(CONFIG), ["dupl", "train", "x"], 1)
    made.write_json(layout.DATA, DATA)
    return made


def found(run, config=CONFIG, data=DATA) -> dict[str, reproduce.Check]:
    return {check.what: check for check in reproduce.checks(run, Config(config), data)}


def test_nothing_differs(run):
    checks = found(run)
    assert [check.what for check in checks.values() if check.same is not True] == []
    assert {"config", "commit", "changes", "python", "torch", "data.train"} <= checks.keys()


def test_another_commit(run, monkeypatch):
    monkeypatch.setattr(provenance, "code", lambda: Code("deadbeef", False, ""))
    check = found(run)["commit"]
    assert (check.same, check.told) == (False, "c0ffee then, deadbeef now")
    assert check.advice.endswith("checkout c0ffee")


@pytest.mark.parametrize(
    ("then", "now", "told", "advice"),
    [
        ("+ a", "+ a", "the same, uncommitted", ""),
        ("", "+ a", "none then, some now", "git stash"),
        ("+ a", "", "uncommitted ones then, none now", "git.diff"),
        ("+ a", "+ b", "uncommitted ones then, others now", "git.diff"),
    ],
)
def test_uncommitted_changes(run, monkeypatch, then, now, told, advice):
    if then:
        run.write_text("git.diff", then)
    monkeypatch.setattr(provenance, "code", lambda: Code("c0ffee", bool(now), now))
    check = found(run)["changes"]
    assert check.same is (then == now) and check.told.startswith(told) and advice in check.advice


def test_no_checkout(run, monkeypatch):
    monkeypatch.setattr(provenance, "code", Code)
    assert found(run)["commit"].same is None and "changes" not in found(run)


def test_versions(run, monkeypatch):
    now = {**provenance.versions(), "torch": "0.1", "timm": None}
    monkeypatch.setattr(provenance, "versions", lambda: now)
    checks, then = found(run), run.status.versions
    assert (checks["torch"].same, checks["torch"].advice) == (False, f"pip install torch=={then['torch']}")
    assert checks["timm"].told == f"{then['timm']} then, None now"
    assert checks["numpy"].same


CPU = dict(processes=1, threads=1, machine="2 x core of A", processor="A", vector="AVX2")


class TestStretches:
    def test_the_machine(self, run):
        run.begin(0, CPU)
        checks = {c.what: c for c in reproduce.checks(run, Config(CONFIG), DATA, CPU, "seeds differ by 3")}
        assert {"processor", "vector instructions", "threads", "files of the package"} <= checks.keys()
        assert all(check.same for check in checks.values())
        here = {**CPU, "processor": "B", "vector": "AVX512", "threads": 2}
        checks = {c.what: c for c in reproduce.checks(run, Config(CONFIG), DATA, here, "seeds differ by 3")}
        assert checks["processor"].same is False
        told = "A then, B now: equality to the bit cannot be expected; seeds differ by 3"
        assert checks["processor"].told == told
        assert checks["threads"].advice == "--set runtime.threads=1" and checks["threads"].same is False

    def test_what_is_not_recorded(self, run):
        run.update(machine="2 x core of A", iteration=3)  # as an earlier version did
        checks = {c.what: c for c in reproduce.checks(run, Config(CONFIG), DATA, CPU)}
        assert checks["processor"].same is True
        assert (checks["threads"].same, checks["threads"].told) == (None, "not recorded then, 1 now")
        checks = {c.what: c for c in reproduce.checks(run, Config(CONFIG), DATA, {})}  # no GPU here
        assert checks["processor"].told == "A then, none now" and checks["processor"].same is None

    def test_a_run_of_two_commits_is_made_again_by_none(self, run, monkeypatch):
        run.begin(0, CPU)
        run.update(iteration=5)
        monkeypatch.setattr(provenance, "code", lambda: Code("deadbeef", True, "+ a"))
        run.begin(5, CPU)
        run.update(iteration=9)
        checks = found(run)
        assert checks["stretches"].same is False
        assert "from iteration 5 on: commit c0ffee -> deadbeef" in checks["stretches"].told
        assert checks["commit"].same and checks["changes"].same  # of its last stretch
        monkeypatch.setattr(provenance, "code", lambda: Code("c0ffee", False, ""))
        check = found(run)["changes"]
        assert check.same is False and "git-" in check.advice and check.advice.endswith(".diff")

    def test_processes_are_started_again(self, run):
        run.begin(0, {**CPU, "processes": 3})
        words = reproduce.command(run, Path("c.py"), Path("out"))
        assert words[:3] == ["torchrun", "--nproc-per-node", "3"]

    def test_the_spread_of_seeds(self, run, tmp_path):
        assert "is not known" in spread_of_seeds(run.path, "seg/best/mIoU")
        for seed, value in ((1, 50.0), (2, 53.0), (3, 56.0)):
            config = {**CONFIG, "runtime": {"seed": seed}}
            made = Run.create(tmp_path / f"s{seed}", catalogue.to_text(config), config_id(config), ["dupl"], seed)
            made.update(state="finished", iteration=9)
            facts = {"protocol": "train", "iter": 9, "data": {"split": "val"}, "metrics": {"seg/best/mIoU": value}}
            made.write_json("evaluation/iter_000009/metrics.json", facts)
        other = Run.create(tmp_path / "o", catalogue.to_text({**CONFIG, "a": 1}), "", ["dupl"], 4)
        other.update(state="finished", iteration=9)
        found = spread_of_seeds(run.path, "seg/best/mIoU")
        assert found == "seg/best/mIoU of 3 seeds lies between 50.0 and 56.0, standard deviation 3.0"


def test_a_config_that_was_changed(run):
    run.write_text("config.py", catalogue.to_text({**CONFIG, "runtime": {"seed": 2}}))
    assert "the file was changed since" in found(run)["config"].told


def test_overrides_are_told(run):
    other = {**CONFIG, "runtime": {"seed": 2}}
    assert found(run, other)["config"].told == "runtime.seed: 1 -> 2"


class TestData:
    def test_what_differs_is_named(self, run):
        now = {"train": {**DATA["train"], "tags": "x", "images": 4}}
        check = found(run, data=now)["data.train"]
        assert (check.same, check.told) == (False, "number of images (3 then, 4 now); tags (c then, x now)")

    def test_data_that_is_not_here(self, run):
        check = found(run, data={"train": {"missing": "no folder"}})["data.train"]
        assert (check.same, check.told) == (None, "no folder") and "--set data.train.root=DIR" in check.advice

    def test_a_run_from_before(self, run):
        (run.path / layout.DATA).unlink()
        assert found(run)["data"].same is None

    @pytest.mark.parametrize("text", ["[]", "{}", '{"train": 3}'])
    def test_a_strange_file(self, run, text):
        run.write_text(layout.DATA, text)
        assert found(run)["data.train"].same is None


class TestCommand:
    def test_one_process(self, run):
        assert reproduce.command(run, Path("c.py"), Path("out")) == ["dupl", "train", "c.py", "--work-dir", "out"]

    @pytest.mark.parametrize(
        ("machine", "count"), [("2 x NVIDIA H200", "2"), ("8 x core of A", "PROCESSES"), (None, "PROCESSES")]
    )
    def test_several(self, run, machine, count):
        run.update(command=["dupl", "train", "x", "--launcher", "pytorch"], machine=machine)
        words = reproduce.command(run, Path("c.py"), Path("out"))
        assert words[:5] == ["torchrun", "--nproc-per-node", count, "-m", "dupl"]
        assert words[-2:] == ["--launcher", "pytorch"]


class TestCompare:
    @pytest.fixture
    def other(self, run, tmp_path):
        """A repetition, as far as the rows of ``run``."""
        for made in (run, again := Run.create(tmp_path / "b", "", "", [], 1)):
            for i in (1, 2):
                made.append_scalars({"iter": i, "loss": 1.0 / i, "seconds": 0.1 if made is run else 0.2})
        return again

    def test_equal_but_for_times(self, run, other):
        assert [c.told for c in reproduce.compare(run, other)] == ["2 values up to iteration 2"]

    def test_the_first_difference_is_named(self, run, other):
        for made, value in ((run, 50.0), (other, 51.5)):
            made.append_scalars({"iter": 3, "loss": value, "seg/best/mIoU": value})
        scalars, metric = reproduce.compare(run, other)
        assert scalars.told == "2 of 4 values, from iteration 3 on: loss 50.0 and 51.5"
        assert (metric.what, metric.told, metric.same) == ("seg/best/mIoU at 3", "50.0 and 51.5", False)

    def test_only_as_far_as_both_are(self, run, other):
        run.append_scalars({"iter": 3, "loss": 9.0})
        assert reproduce.compare(run, other)[0].same

    def test_nothing_in_common(self, run, tmp_path):
        with pytest.raises(UserError, match="no scalars in common"):
            reproduce.compare(run, Run.create(tmp_path / "c", "", "", [], 1))
