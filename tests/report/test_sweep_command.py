"""`dupl report SWEEP`, from a study and a store of small files; no training."""

from __future__ import annotations

import json
import re

import optuna
import pytest

from dupl.cli import main
from dupl.config import catalogue
from dupl.plans import plan as plans
from dupl.plans import sweep as lab
from dupl.plans.checks import merge
from dupl.plans.study import open_study
from dupl.runs.run import Run

GAMMA, FINAL, WARM = "model.noise_filter.gamma", "model.threshold.final", "warm-up"
VALUES = {0.55: 50.0, 0.65: 46.0, 0.6: 48.5}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with four trials of the demo's sweep: three on rows of Table 5a, one that is not."""
    root = tmp_path_factory.mktemp("sweep") / "runs"
    sweep = lab.load("demo")
    study = open_study(sweep, root=root, create=True)
    start = sweep.start_from[0]
    points = [
        (start, 50.0),
        ({**start, FINAL: 0.65}, 46.0),
        ({**start, FINAL: 0.6}, 48.5),
        ({**start, GAMMA: 0.7}, 44.0),
    ]
    spaces = {
        name: optuna.distributions.IntDistribution(int(p.low), int(p.high), step=int(p.step))
        if p.type == "int"
        else optuna.distributions.FloatDistribution(p.low, p.high)
        for name, p in sweep.space.items()
    }
    for params, value in points:
        planned = sweep.run(params)
        run = Run.create(
            root / f"demo-{planned.fingerprint}",
            catalogue.to_text(planned.config),
            planned.fingerprint,
            ["dupl"],
            seed=0,
        )
        for t in (60, 300):
            metrics = {"seg/best/mIoU": value * t / 300, "cam/best/mIoU": value + 1}
            data = {"type": "Toy", "split": planned.config.data.val.split}
            facts = {
                "iter": t,
                "protocol": "single scale",
                "size": 64,
                "data": data,
                "seconds": 1.0,
                "metrics": metrics,
            }
            run.write_json(f"evaluation/iter_{t:06d}/metrics.json", facts)
        run.update(state="finished", iteration=300, iterations=300, seconds=60.0)
        facts = dict(run=planned.fingerprint, folder=str(run.path), iteration=300, seconds=60.0)
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=value, user_attrs=facts))
    return root


def test_markdown_with_the_papers_table(store, capsys):
    assert main(["report", "demo", "--root", str(store), "--bootstraps", "2"]) == 0
    text = capsys.readouterr().out
    best = [line for line in text.splitlines() if line.startswith("| 0 | complete | 50.00 | 0.55 |")]
    assert len(best) == 1
    assert "PED-ANOVA needs 8 trials" in text
    table = text[text.index("(from trials)") :].partition("Changes")[0]
    notes = text[text.index("(from trials)") :]
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| 0.")}
    assert "46.0 (1)" in rows["0.65"] and "48.5 (1)" in rows["0.6"] and "50.0 (1)" in rows["0.55"]
    assert "not run" in notes, "0.50 was not drawn"
    assert "−4.0" in rows["0.65"], "against the recipe's own value"
    assert "the sweep demo, one seed" in notes


@pytest.mark.parametrize(("plan", "name"), [("table5a_threshold", FINAL), ("table5b_warmup", WARM)])
def test_every_row_of_the_papers_tables_is_a_point_of_the_sweep(plan, name):
    sweep = lab.load("dta_anf", {"data.train.root": "voc", "data.val.root": "voc"})
    rows = plans.load(plan).expand(seeds=[0], sets=merge(sweep.set, sweep.search))
    for row in rows:
        point = {**sweep.start_from[0], name: type(sweep.start_from[0][name])(row.row)}
        assert sweep.run(point).fingerprint == row.fingerprint
    assert len(rows) == 4


def test_page(store, tmp_path, capsys):
    file = tmp_path / "sweep.html"
    assert main(["report", "demo", "--root", str(store), "--out", str(file)]) == 0
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', file.read_text())[1])
    assert len(data["plots"]["courses"]["data"]) == 4
    assert [key for key in data["plots"] if key.startswith("contour")] == ["contour-0"], "others lie on lines"
    assert [row[3]["text"] for row in data["tables"]["trials"]["rows"]] == ["0.55", "0.65", "0.6", "0.55"]


def test_a_sweep_by_its_file(store, capsys):
    file = str(catalogue.resolve("demo", "sweeps"))
    assert main(["report", file, "--root", str(store)]) == 0
    assert "### Best trials" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["demo", "--format", "latex"], "the report of a sweep is md or html"),
        (["demo", "--seeds", "0"], "--seeds: these are for plans; a sweep has trials"),
        (["demo", "--bootstraps", "-1"], "bootstraps is -1"),
        (["weights"], "has no study"),
    ],
)
def test_mistakes(store, capsys, words, says):
    assert main(["report", *words, "--root", str(store)]) == 2
    assert says in capsys.readouterr().err
