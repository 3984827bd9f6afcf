"""The stretches of a run: what computed which iterations, over interruptions, resumptions and repeated iterations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dupl.cli import main
from dupl.method.dupl import DuPL
from dupl.runs import provenance, stretches
from dupl.runs.files import CorruptFile
from dupl.runs.provenance import Code
from dupl.runs.run import Run
from dupl.runs.stretches import Stretch, begun, changed, in_words, reached, turns

OLD = Path(__file__).parents[1] / "fixtures" / "store_0_1" / "runs"
CPU = dict(processes=1, threads=1, machine="2 x core of A", processor="A", vector="AVX2")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "code", lambda: Code("c0ffee", False, ""))
    monkeypatch.setattr(provenance, "package_digest", lambda: "aaaa")
    return Run.create(tmp_path / "run", "a = 1\n", "0123456789ab", ["dupl", "train", "r"], seed=3)


class TestRecord:
    def test_an_undisturbed_run_has_one(self, run):
        assert run.status.history == ()
        assert run.begin(0, CPU) == {}
        run.update(state="running")
        run.update(iteration=5, seconds=2.5)
        run.update(state="finished", iteration=8)
        (one,) = run.status.stretches
        assert (one.start, one.end, one.seconds) == (0, 8, 2.5)
        assert (one.commit, one.dirty, one.changes, one.package) == ("c0ffee", False, "", "aaaa")
        assert (one.processes, one.threads, one.processor, one.vector) == (1, 1, "A", "AVX2")
        assert one.versions == provenance.versions() and one.host and one.began

    def test_a_resumption_elsewhere_is_another(self, run, monkeypatch):
        run.begin(0, CPU)
        run.update(iteration=5, seconds=2.5)
        monkeypatch.setattr(provenance, "code", lambda: Code("deadbeef", True, "+ a\n"))
        monkeypatch.setattr(provenance, "package_digest", lambda: "bbbb")
        monkeypatch.setattr(provenance, "versions", lambda: {"torch": "9.9", "mine": "1"})
        found = run.begin(5, {**CPU, "threads": 2, "processes": 2, "vector": "AVX512"})
        assert in_words({k: v for k, v in found.items() if k != "torch"}) == (
            "commit c0ffee -> deadbeef, uncommitted changes none -> 6d9a8ee3, files of the package aaaa -> bbbb, "
            "vector instructions AVX2 -> AVX512, threads 1 -> 2, processes 1 -> 2"
        ).replace("6d9a8ee3", provenance.changes_digest(b"+ a\n"))
        assert found["torch"][1] == "9.9"
        run.update(iteration=8, seconds=4.0)
        one, two = run.status.stretches
        assert [(s.start, s.end, s.seconds) for s in (one, two)] == [(0, 5, 2.5), (5, 8, 1.5)]
        assert run.status.commit == "c0ffee"  # the start's
        assert (run.path / f"git-{two.changes}.diff").read_text() == "+ a\n" and run.changes() == ""
        assert turns(run.status.history)[0].startswith("from iteration 5 on: commit c0ffee -> deadbeef, ")

    def test_iterations_that_are_trained_again_belong_to_the_later_one(self, run):
        run.begin(0, CPU)
        run.update(iteration=8)
        run.begin(4, CPU)
        assert [(s.start, s.end) for s in run.status.stretches] == [(0, 4), (4, 4)]
        run.begin(4, CPU)  # killed before its first checkpoint
        assert [(s.start, s.end) for s in run.status.stretches] == [(0, 4), (4, 4)]
        run.begin(0, CPU)  # no checkpoint is left
        assert [(s.start, s.end) for s in run.status.stretches] == [(0, 0)]

    def test_pure_functions(self):
        one, two = Stretch(0, 4, 2.0, commit="a"), Stretch(4, 9, 3.0, commit="b")
        assert begun([one, two], Stretch(6)) == (one, Stretch(4, 6, 3.0, commit="b"), Stretch(6))
        assert reached([one, two], 12, 6.0)[-1] == Stretch(4, 12, 4.0, commit="b")
        assert reached([], 3, 1.0) == ()
        assert changed(one, Stretch(commit=None, threads=2)) == {}  # what is not known does not count
        assert turns([one, Stretch(4, 5, commit="a"), two]) == ["from iteration 4 on: commit a -> b"]

    @pytest.mark.parametrize(
        "wrong",
        [[1], {"a": 1}, "a", [{"start": -1}], [{"threads": 0}], [{"commit": 3}], [{"end": 2**60}], [{"versions": [1]}]],
    )
    def test_damaged(self, run, wrong):
        values = run.read_json("status.json")
        run.write_json("status.json", {**values, "stretches": wrong})
        with pytest.raises(CorruptFile, match="status.json is corrupt"):
            _ = run.status

    def test_fields_of_a_newer_version_are_passed_over(self, run):
        run.write_json("status.json", {**run.read_json("status.json"), "stretches": [{"start": 0, "end": 3, "new": 1}]})
        assert run.status.stretches == (Stretch(0, 3),)


class TestOldRuns:
    """Runs of version 0.1 recorded their start alone."""

    def test_one_stretch_is_read(self):
        (one,) = Run(OLD / "finished").status.history
        assert (one.start, one.end, one.dirty, one.changes) == (0, 12, True, None)
        assert (one.commit, one.processor) == ("22a96b6cf90e3c3af4b7b12c7ea96c40d3a81b67", "AMD EPYC")
        assert (one.threads, one.processes, one.package) == (None, None, None)

    def test_a_resumption_keeps_it(self, tmp_path):
        shutil.copytree(OLD / "interrupted", tmp_path / "run")
        run = Run(tmp_path / "run")
        done = run.status.iteration
        found = run.begin(done, {**CPU, "processor": "B"})
        assert found["processor"] == ("AMD EPYC", "B") and "threads" not in found
        assert [(s.start, s.end) for s in run.status.stretches] == [(0, done), (done, done)]

    def test_the_command_is_shown_by_its_name(self):
        assert Run(OLD / "finished").status.command[:2] == ["dupl", "train"]


@pytest.mark.parametrize(
    ("words", "recorded"),
    [
        (["/a/dupl/__main__.py", "train"], ["dupl", "train"]),
        (["/usr/bin/dupl", "train"], ["dupl", "train"]),
        (["/home/me/study.py", "x"], ["study.py", "x"]),
        (["dupl", "postgresql://me:secret@h/d"], ["dupl", "postgresql://me@h/d"]),
        ([], []),
    ],
)
def test_a_command_is_recorded_without_paths_and_passwords(tmp_path, words, recorded):
    assert Run.create(tmp_path / "run", "", "", words, 0).status.command == recorded


def test_resume_says_what_changed(tiny, tmp_path, monkeypatch, capsys):
    """A training that is interrupted, and goes on under another commit, with another number of threads."""
    import torch

    forward = DuPL.loss

    def loss(self, **batch):
        if batch["clock"].t == 7:
            raise KeyboardInterrupt
        return forward(self, **batch)

    monkeypatch.setattr("dupl.engine.pictures.draw", lambda *_: [])
    monkeypatch.setattr(DuPL, "loss", loss)
    monkeypatch.setattr(provenance, "code", lambda: Code("c0ffee", False, ""))
    sets = ["schedule.iterations=12", "evaluation.interval=4", "evaluation.gallery=0"]
    command = ["train", tiny, "--work-dir", str(tmp_path / "run"), "--set", *sets]
    assert main(command) != 0
    monkeypatch.setattr(DuPL, "loss", forward)
    monkeypatch.setattr(provenance, "code", lambda: Code("deadbeef", False, ""))
    before = torch.get_num_threads()
    capsys.readouterr()
    try:
        monkeypatch.setattr("dupl.engine.training.train.hardware", lambda *_: {**_hardware(*_), "threads": 3})
        assert main([*command, "--resume"]) == 0
    finally:
        torch.set_num_threads(before)
    told = capsys.readouterr().err
    assert f"other than before: commit c0ffee -> deadbeef, threads {before} -> 3; equality to the bit cannot" in told
    one, two = Run(tmp_path / "run").status.stretches
    assert 0 < one.end == two.start < two.end == 12
    assert (one.commit, two.commit, two.threads) == ("c0ffee", "deadbeef", 3)
    saved = json.loads((tmp_path / "run" / "status.json").read_text())["stretches"]
    assert [s["end"] for s in saved] == [one.end, 12]
    assert stretches.distinct([one, two], "commit") == ["c0ffee", "deadbeef"]


def _hardware(*arguments):
    from dupl.engine.device import hardware

    return hardware(*arguments)
