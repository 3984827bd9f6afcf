"""A metric that nothing measures is found when a plan or a sweep is read, before anything is trained."""

from __future__ import annotations

import pytest

from dupl.cli import main
from dupl.config import catalogue
from dupl.errors import UserError
from dupl.plans.metric_check import check_metric, most_students

PLAN = """
base = "demo/ablation"
columns = dict(Seg=dict(metric={metric!r}, protocol={protocol!r}))
rows = dict(all=dict())
"""
SWEEP = """
base = "demo/toy"
goal = dict(metric={metric!r})
space = {{"model.tau_l": dict(type="float", low=0.1, high=0.4)}}
sampler = dict(type="random")
trials = 2
"""


@pytest.mark.parametrize(
    ("metric", "protocol"),
    [
        ("seg/best/mIoU", "train"),
        ("seg/best/mIoU", "final"),
        ("cam/2/OA", "train"),
        ("cls/mean/mAP", "train"),
        ("aux_cam/1/mIoU", "train"),
    ],
)
def test_what_is_measured(metric, protocol):
    check_metric(metric, catalogue.load_values("demo/toy"), protocol, "columns.Seg.metric")


def test_a_student_that_the_method_does_not_have():
    two, one = catalogue.load_values("demo/toy"), catalogue.load_values("demo/toy")
    one["model"] = one["model"] | {"students": {"type": "SingleStudent"}}
    own = {"model": {"type": "Mine"}}
    assert (most_students([one, two]), most_students([one]), most_students([two, own])) == (2, 1, None)
    check_metric("seg/2/mIoU", two, "train", "goal", most_students([one, two]))
    check_metric("seg/best/mIoU", one, "train", "goal", most_students([one]))
    check_metric("seg/3/mIoU", two, "train", "goal", None)
    with pytest.raises(UserError, match="goal is 'seg/3/mIoU', and there are 2 students"):
        check_metric("seg/3/mIoU", two, "train", "goal", most_students([one, two]))
    with pytest.raises(UserError, match="goal is 'cls/2/mAP', and there is 1 student"):
        check_metric("cls/2/mAP", one, "train", "goal", most_students([one]))


def test_a_subset_of_the_recipe():
    values = catalogue.load_values("demo/toy")
    values["evaluation"]["subset"] = {"name": "mIoU-7", "classes": ["disc"]}
    check_metric("seg/best/mIoU-7", values, "final", "goal")
    with pytest.raises(UserError, match="goal is 'seg/best/mIoU-8'.*did you mean seg/best/mIoU-7"):
        check_metric("seg/best/mIoU-8", values, "final", "goal")


@pytest.mark.parametrize(
    ("metric", "protocol", "said"),
    [
        ("seg/best/mIuU", "train", "the protocol train does not measure; did you mean seg/best/mIoU?"),
        ("seg/best/OA", "train", "the protocol train does not measure; did you mean"),
        ("cam/best/mIoU", "final", "the protocol final does not measure; did you mean seg/best/mIoU?"),
        ("mIoU", "train", "the protocol train does not measure"),
        ("seg/3/mIoU", "train", "and there are 2 students"),
    ],
)
def test_a_plan_is_refused_in_its_dry_run(tmp_path, monkeypatch, capsys, metric, protocol, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLAN.format(metric=metric, protocol=protocol))
    assert main(["ablate", "mine.py", "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "mine.py, line 3: columns.Seg.metric is" in line and said in line


@pytest.mark.parametrize(
    ("metric", "said"),
    [("seg/best/mIuU", "did you mean seg/best/mIoU?"), ("seg/3/mIoU", "and there are 2 students")],
)
def test_a_sweep_is_refused_in_its_dry_run(tmp_path, monkeypatch, capsys, metric, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SWEEP.format(metric=metric))
    assert main(["sweep", "mine.py", "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"mine.py, line 3: goal is {metric!r}" in line and said in line
