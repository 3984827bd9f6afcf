"""The detector's means in scalars.jsonl, and the warning of a misled student."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from dupl.engine.training.detector_hook import DetectorHook, detector_hook
from dupl.method.detector import MaskingDetector, NoDetector
from dupl.report.pages.run_curves import charts
from dupl.runs.run import Run


@pytest.fixture
def watched(tmp_path):
    """A hook on a detector of two students and two classes, its runner, and the lines that it says."""
    run = Run.create(tmp_path / "run", "", "abc", [], 0)
    detector, said = MaskingDetector(least=2), []
    detector.bind([SimpleNamespace(classifier=torch.nn.Linear(1, 2))] * 2)
    runner = SimpleNamespace(iter=0, max_iters=10, rank=0, visualizer=SimpleNamespace(add_scalars=lambda row, step: 0))
    return DetectorHook(run, 4, detector, ["cat", "dog"], said.append), runner, said


def at(hook, runner, done, means, counts):
    hook.detector.mean.copy_(torch.tensor(means))
    hook.detector.count.copy_(torch.tensor(counts))
    runner.iter = done - 1
    hook.after_train_iter(runner, done - 1)


def test_means_are_logged_where_they_count_and_a_change_is_said_once(watched):
    hook, runner, said = watched
    at(hook, runner, 3, [[0.1, 0.1], [0.1, 0.1]], [[9, 9], [9, 9]])
    assert not said and not hook.run.scalars(), "not the end of an interval"
    at(hook, runner, 4, [[0.75, 0.25], [0.25, 0.5]], [[2, 1], [2, 2]])
    at(hook, runner, 8, [[0.75, 0.25], [0.125, 0.5]], [[3, 1], [3, 3]])
    assert hook.run.scalars() == [
        {"iter": 4, "detector/1/cat": 0.75, "detector/2/cat": 0.25, "detector/2/dog": 0.5},
        {"iter": 8, "detector/1/cat": 0.75, "detector/2/cat": 0.125, "detector/2/dog": 0.5},
    ]
    assert said == [
        "iteration 4: student 2 is misled on cat: its CAM explains the class no better than the rest of the image "
        "(0.25, misled below 0.5)"
    ]
    at(hook, runner, 10, [[0.75, 0.25], [0.75, 0.25]], [[3, 2], [3, 3]])
    assert [line.split(":")[1] for line in said[1:]] == [" student 1 is misled on dog", " student 2 is misled on dog"]


def test_a_resumed_run_does_not_repeat_itself(watched):
    hook, runner, said = watched
    hook.detector.count.fill_(2)
    hook.before_train(runner)
    at(hook, runner, 4, [[0.0, 0.0], [0.0, 0.0]], [[2, 2], [2, 2]])
    assert not said and len(hook.run.scalars()) == 1


def test_without_a_detector_there_is_no_hook(tmp_path):
    assert detector_hook(None, 1, SimpleNamespace(detector=NoDetector()), ["background"], print) is None
    assert detector_hook(None, 1, SimpleNamespace(), ["background"], print) is None


def test_a_page_has_a_chart_for_each_class():
    found = charts(["iter", "detector/1/cat", "detector/2/cat", "detector/1/2"])
    assert found["detector/cat"].names == {"student 1": "detector/1/cat", "student 2": "detector/2/cat"}
    assert found["detector/2"].names == {"student 1": "detector/1/2"}
    assert found["detector/cat"].title == "Detector of misled students: cat"
