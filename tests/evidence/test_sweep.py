"""The archive of a sweep: its trials with their parameters, and the counts of the runs behind them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import optuna
import pytest

from dupl.cli import main
from dupl.config import catalogue
from dupl.evidence import container
from dupl.evidence.sources import trial_facts
from dupl.plans import sweep as lab
from dupl.plans.study import open_study
from dupl.report.tables.counts import Counts, Metric
from dupl.runs.evaluation_files import write_evaluation
from dupl.runs.pixel_counts import read_pixel_counts
from dupl.runs.run import Run
from dupl.runs.tallies import Tally

CLASSES = ["background", "disc", "square"]
IMAGES = [f"val_{number:05d}" for number in range(6)]
FINAL = "model.threshold.final"
MAPS = ("cam/1", "cam/2", "cam/mean", "seg/1", "seg/2", "seg/mean")


def evaluate(folder: Path, seed: int) -> float:
    """Write an evaluation with counts drawn at random; returns its seg/best/mIoU."""
    draw, tallies = np.random.default_rng(seed), {name: Tally(len(CLASSES)) for name in MAPS}
    for image in range(len(IMAGES)):
        truth = draw.integers(0, len(CLASSES), (8, 8))
        for tally in tallies.values():
            tally.add(image, truth, np.where(draw.random((8, 8)) < 0.3, draw.integers(0, 3, (8, 8)), truth))
    facts = {"protocol": "squashed, no CRF", "data": {"type": "Toy", "split": "val"}, "iter": 300, "seconds": 1.0}
    write_evaluation(folder, facts | {"read": "0123abcd"}, {}, tallies, CLASSES, IMAGES)
    counts, metrics = read_pixel_counts(folder), {}
    for name in ("cam/best/mIoU", "seg/1/mIoU", "seg/2/mIoU", "seg/best/mIoU"):
        metric = Metric.parse(name)
        metrics[name] = Counts.of(counts, metric.maps(counts.maps)).value(metric)
    write_evaluation(folder, facts | {"read": "0123abcd"}, metrics, tallies, CLASSES, IMAGES)
    return float(metrics["seg/best/mIoU"])


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A store with three finished trials of the demo's sweep, and one that failed."""
    root = tmp_path_factory.mktemp("sweep") / "runs"
    sweep = lab.load("demo")
    study, start = open_study(sweep, root=root, create=True), sweep.start_from[0]
    kinds = {
        name: optuna.distributions.IntDistribution(int(p.low), int(p.high), step=int(p.step))
        if p.type == "int"
        else optuna.distributions.FloatDistribution(p.low, p.high)
        for name, p in sweep.space.items()
    }
    for number, final in enumerate((0.55, 0.6, 0.65)):
        planned = sweep.run(params := {**start, FINAL: final})
        config = catalogue.to_text(planned.config)
        run = Run.create(root / f"demo-{planned.fingerprint}", config, planned.fingerprint, ["dupl"], seed=0)
        value = evaluate(run.path / "evaluation/iter_000300", number)
        run.update(state="finished", iteration=300, iterations=300, seconds=60.0)
        facts = dict(run=planned.fingerprint, folder=str(run.path), iteration=300, seconds=60.0)
        study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=value, user_attrs=facts))
    study.add_trial(
        optuna.trial.create_trial(
            params={**start, FINAL: 0.5}, distributions=kinds, state=optuna.trial.TrialState.FAIL, user_attrs={}
        )
    )
    return root


@pytest.fixture(scope="module")
def sweep_archive(packages, store, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("evidence") / "sweep.zip"
    assert main(["export", "demo", "--root", str(store), "--out", str(file)]) == 0
    return file


def test_each_trial_is_a_row_with_its_parameters(sweep_archive, capsys):
    assert main(["verify", str(sweep_archive)]) == 0
    out = capsys.readouterr().out
    for number, final in enumerate((0.55, 0.6, 0.65)):
        assert f"trial {number}: {FINAL}={final}" in out
    assert "one of 4 trials of a search by this split" in out and "one seed" in out
    assert "cells proven; 3 runs, 6 images each" in out
    plan = json.loads(container.read(sweep_archive).members["plan.json"])
    assert plan["source"] == "sweep"
    assert [trial["state"] for trial in plan["trials"]] == ["complete"] * 3 + ["failed"]
    assert plan["trials"][3]["run"] == "" and plan["trials"][0]["params"][FINAL] == 0.55


def test_the_values_of_trials_are_those_of_the_counts(sweep_archive):
    members = container.read(sweep_archive).members
    for trial in json.loads(members["plan.json"])["trials"][:3]:
        (name,) = (name for name in members if name.startswith(f"runs/{trial['run']}/") and "metrics.json" in name)
        assert trial["values"] == [pytest.approx(json.loads(members[name])["metrics"]["seg/best/mIoU"])]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda trial: trial["set"].update({FINAL: 0.7}), f"trial 1 has {FINAL}=0.7, the config of its run 0.6"),
        (lambda trial: trial.update(values=[99.0]), "trial 1 has the value 99.0 of seg/best/mIoU, its run "),
    ],
    ids=["parameters", "value"],
)
def test_a_trial_that_is_not_its_run_is_found(sweep_archive, tmp_path, capsys, change, line):
    members = dict(container.read(sweep_archive).members)
    del members[container.MANIFEST]
    plan = json.loads(members["plan.json"])
    change(plan["trials"][1])
    members["plan.json"] = json.dumps(plan).encode()
    container.write(tmp_path / "changed.zip", members)
    assert main(["verify", str(tmp_path / "changed.zip")]) == 1
    assert line in capsys.readouterr().out


@pytest.mark.usefixtures("packages")
def test_a_sweep_without_runs_is_refused(store, tmp_path, capsys):
    shutil.copytree(store, tmp_path / "runs")
    for run in (tmp_path / "runs").glob("demo-*"):
        if run.is_dir():
            shutil.rmtree(run)
    words = ["export", "demo", "--root", str(tmp_path / "runs"), "--out", str(tmp_path / "x.zip")]
    assert main(words) == 2
    assert "no run of the sweep demo is in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda trial: trial["params"].update({"backbone": "large"}), ""),
        (lambda trial: trial["set"].update({"model.consistency": {"type": "NoConsistency"}}), "trial 1 has model.cons"),
        (lambda trial: trial.update(values=[trial["values"][0], 7.5]), ""),
        (lambda trial: trial.update(values=[99.0, 0.01]), "trial 1 has the value 99.0 of seg/best/mIoU, its run "),
    ],
    ids=["name of a choice", "value of a choice", "hours", "metric"],
)
def test_choices_count_by_their_values_and_hours_are_no_metric(sweep_archive, tmp_path, capsys, change, line):
    """As in a search over backbones with two goals: a choice has a name, and hours follow from no evaluation."""
    members = dict(container.read(sweep_archive).members)
    del members[container.MANIFEST]
    plan = json.loads(members["plan.json"])
    for trial in plan["trials"][:3]:
        trial["metrics"].append("gpu_hours")
        trial["values"].append(0.01)
        trial["params"]["backbone"] = "small"
    change(plan["trials"][1])
    members["plan.json"] = json.dumps(plan).encode()
    container.write(tmp_path / "changed.zip", members)
    assert main(["verify", str(tmp_path / "changed.zip")]) == (1 if line else 0)
    out = capsys.readouterr().out
    assert (line in out) if line else "fault" not in out


def test_facts_of_a_trial_have_the_values_that_its_choices_stand_for():
    sweep = lab.load("backbone_lr")
    kinds = {"L_reg": optuna.distributions.CategoricalDistribution(["on", "off"])}
    ended = optuna.trial.create_trial(params={"L_reg": "off"}, distributions=kinds, values=[50.0, 1.5])
    (fact,) = trial_facts(sweep, [ended])
    assert fact["set"] == {"model.consistency": {"type": "NoConsistency"}}
    assert fact["metrics"] == ["seg/best/mIoU", "gpu_hours"]
