"""A metric that nothing measures is found when a plan or a sweep is read, before anything is trained."""

from __future__ import annotations

import pytest

from dupl.cli import main
from dupl.config import catalogue
from dupl.errors import UserError
from dupl.plans.metric_check import check_metric

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
        ("seg/3/mIoU", "train"),
    ],
)
def test_what_is_measured(metric, protocol):
    check_metric(metric, catalogue.load_values("demo/toy"), protocol, "columns.Seg.metric")


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
    ],
)
def test_a_plan_is_refused_in_its_dry_run(tmp_path, monkeypatch, capsys, metric, protocol, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLAN.format(metric=metric, protocol=protocol))
    assert main(["ablate", "mine.py", "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "mine.py, line 3: columns.Seg.metric is" in line and said in line


def test_a_sweep_is_refused_in_its_dry_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SWEEP.format(metric="seg/best/mIuU"))
    assert main(["sweep", "mine.py", "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "mine.py, line 3: goal is 'seg/best/mIuU'" in line and "did you mean seg/best/mIoU?" in line
