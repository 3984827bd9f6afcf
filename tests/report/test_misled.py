"""The label of a misled student by its final CAM, and the rates of the detector, by hand."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest

from dupl.errors import UserError
from dupl.report.misled import detector_rates, label_pairs, with_detector

COUNTS = pd.DataFrame(
    [
        ("a", f"cam/{student}", name, iou)
        for name, pair in {
            "background": (1.0, 90.0),
            "cat": (24.9, 60.0),  # misled: below 25 and below half
            "cow": (24.9, 40.0),  # more than half of the other
            "dog": (60.0, 25.0),  # not below 25
            "horse": (50.0, 3.0),  # student 2 is misled
            "sheep": (10.0, 19.0),  # both are bad
            "train": (math.nan, 5.0),
        }.items()
        for student, iou in zip((1, 2), pair, strict=True)
    ]
    + [("a", "seg/1", "cat", 1.0)],
    columns=["fingerprint", "map", "class", "IoU"],
)


def test_pairs_are_labelled_by_both_bounds():
    pairs = label_pairs(COUNTS)
    assert len(pairs) == 10, "neither the background nor a class without truth"
    misled = pairs[pairs["misled"]]
    assert list(zip(misled["student"], misled["class"], strict=True)) == [(1, "cat"), (2, "horse")]
    assert misled[["IoU", "other"]].values.tolist() == [[24.9, 60.0], [3.0, 50.0]]
    assert set(label_pairs(COUNTS, ["cat", "dog"])["class"]) == {"cat", "dog"}


def test_the_last_word_by_an_iteration_counts():
    scalars = pd.DataFrame(
        [
            {"fingerprint": "a", "iter": 100, "detector/1/cat": 0.7, "detector/2/horse": 0.2, "detector/1/cow": 0.3},
            {"fingerprint": "a", "iter": 300, "detector/1/cat": 0.4, "detector/2/horse": 0.6},
            {"fingerprint": "a", "iter": 320, "detector/1/cat": 0.9, "detector/2/horse": 0.1},
        ]
    )
    pairs = with_detector(label_pairs(COUNTS), scalars, 300, below=0.5)
    said = {(p.student, p.name): (p.detector, p.alarm) for p in pairs.rename(columns={"class": "name"}).itertuples()}
    assert said[1, "cat"] == (0.4, True) and said[2, "horse"] == (0.6, False)
    assert said[1, "cow"] == (0.3, True), "from the row before"
    assert math.isnan(said[2, "cat"][0]) and not said[2, "cat"][1], "not measured"
    assert detector_rates(pairs) == {"misled": 2, "found": 1, "sound": 8, "false_alarms": 1}


def test_runs_without_a_detector_and_wrong_tables():
    pairs = with_detector(label_pairs(COUNTS), pd.DataFrame({"fingerprint": ["b"], "iter": [5]}), 300, 0.5)
    assert pairs["detector"].isna().all() and not pairs["alarm"].any()
    with pytest.raises(UserError, match="pairs has no column 'alarm'"):
        detector_rates(label_pairs(COUNTS))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/detector.py"
    spec = importlib.util.spec_from_file_location("detector_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestBenchmark:
    """`benchmarks/detector.py`, which prints the rates of the runs of a store."""

    def test_area_is_the_share_of_couples_in_the_right_order(self, script):
        assert script.area([0.1, 0.3, 0.2, 0.9], [True, True, False, False]) == 0.75
        assert math.isnan(script.area([0.1, 0.2], [False, False]))

    def test_the_best_limit_gives_one_false_alarm_in_twenty(self, script):
        low, high = [0.1, 0.2, 0.3], [0.15, 0.25] + [0.9] * 18
        labels = [True] * 3 + [False] * 20
        assert script.found_at_best(low + high, labels) == 2, "0.3 would cost a second false alarm"
        assert script.found_at_best(low + high[:-1], labels[:-1]) == 1, "of 19 sound pairs not one may be wrong"
        assert script.found_at_best(low, [True] * 3) == 3
        assert script.found_at_best([], []) == 0

    @pytest.mark.parametrize("kind", ["MaskingDetector", "ProbeDetector"])
    def test_a_table_has_the_detector_and_the_masks_of_earlier_evaluations(self, script, kind):
        final = COUNTS.assign(iteration=90)
        early = final.assign(iteration=50, IoU=final["IoU"].where(final["class"] != "cat", 30.0))  # cat is misled later
        logged = {"detector/1/cat": 0.4, "detector/2/cat": 0.6, "detector/2/horse": 0.7, "detector/1/dog": 0.3}
        run, without, off = (
            SimpleNamespace(path=str(part), state="finished", config={"model": {"detector": part}}, fingerprint="a")
            for part in ({"type": kind}, None, {"type": "NoDetector"})
        )
        store = SimpleNamespace(
            root="runs",
            best=lambda: [run, without, off],
            counts=lambda runs, protocol, last=True: final if last else pd.concat([early, final]),
            scalars=lambda runs: pd.DataFrame([{"fingerprint": "a", "iter": 50, **logged}]),
        )
        lines = script.table(store, 50, [])
        assert lines[0] == "1 runs, 10 pairs of student and class, 6 not measured yet"
        assert lines[4] == "| detector at 50 | 1 of 2 (50%) | 1 of 8 (12%) | 0.44 | 0 of 2 (0%) |", "7 of 16 couples"
        assert (
            lines[5]
            == "| detector lower than of the other student | 1 of 1 (100%) | 0 of 1 (0%) | 1.00 | 1 of 1 (100%) |"
        )
        assert lines[6].startswith("| true masks at 50 | 1 of 2 (50%) | 0 of 8 (0%) |")
        assert (
            script.table(store, 40, [])[4] == "| detector at 40 | 0 of 2 (0%) | 0 of 8 (0%) | 0.50 | 0 of 2 (0%) |"
        ), "none measured"
        assert script.table(store, 40, [])[5].startswith("| detector lower than of the other student | 0 of 0 (0%) |")
        with pytest.raises(SystemExit, match="the masks of these runs have no pixel of ferret"):
            script.table(store, 50, ["ferret"])

    def test_the_last_evaluation_of_a_shorter_run_is_no_earlier_one(self, script):
        runs = [
            SimpleNamespace(path=name, state="finished", config={"model": {"detector": {"type": "ProbeDetector"}}})
            for name in "ab"
        ]
        final = pd.concat([COUNTS.assign(iteration=50), COUNTS.assign(iteration=90, fingerprint="b")])
        store = SimpleNamespace(
            root="runs",
            best=lambda: runs,
            counts=lambda runs, protocol, last=True: final,
            scalars=lambda runs: pd.DataFrame([{"fingerprint": "a", "iter": 50, "detector/1/cat": 0.4}]),
        )
        assert not [line for line in script.table(store, 50, []) if "true masks" in line]

    def test_only_runs_of_the_given_length_count(self, script):
        detector = {"detector": {"type": "ProbeDetector"}}
        runs = [
            SimpleNamespace(
                state="finished", fingerprint=name, config={"model": detector, "schedule": {"iterations": n}}
            )
            for name, n in (("a", 90), ("b", 400))
        ]
        store = SimpleNamespace(
            root="runs",
            best=lambda: runs,
            counts=lambda runs, protocol, last=True: pd.concat(
                [COUNTS.assign(iteration=90, fingerprint=run.fingerprint) for run in runs]
            ),
            scalars=lambda runs: pd.DataFrame([{"fingerprint": "a", "iter": 50, "detector/1/cat": 0.4}]),
        )
        assert script.table(store, 50, [])[0] == "2 runs, 20 pairs of student and class, 19 not measured yet"
        assert script.table(store, 50, [], 90)[0] == "1 runs, 10 pairs of student and class, 9 not measured yet"
        with pytest.raises(SystemExit, match="no run has 80 iterations: --iterations is one of 90, 400"):
            script.table(store, 50, [], 80)

    def test_runs_of_one_student_do_not_count(self, script):
        model = {"detector": {"type": "ProbeDetector"}, "students": {"type": "SingleStudent"}}
        run = SimpleNamespace(state="finished", config={"model": model})
        with pytest.raises(SystemExit, match="no finished run of two students has a detector"):
            script.table(SimpleNamespace(root="runs", best=lambda: [run]), 50, [])
