"""The compute report and the checklist, from what runs recorded of themselves."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import dupl
from dupl.cli import main
from dupl.errors import UserError
from dupl.evidence.forms import ITEMS, compute_text
from dupl.plans.plan import Row
from dupl.runs import label_maps
from dupl.runs.stored_run import open_run

FIXTURES = Path(__file__).parents[1] / "fixtures"
PLAN = FIXTURES / "plan.py"
BEGAN = {"run": "x" * 12, "folder": "x", "iteration": 30, "digest": "0" * 64, "seconds": 5.0}


def change(run: Path, **facts: object) -> dict:
    today = {"fingerprint": open_run(run).fingerprint, "id_version": 2}  # an earlier version's id counts the machine
    status = json.loads((run / "status.json").read_text()) | today | facts
    (run / "status.json").write_text(json.dumps(status))
    return status


def test_hours_of_cores_and_their_energy(store):
    form = dupl.compute_form(PLAN, store, overrides=[])
    trained = sum(json.loads((run / "status.json").read_text())["seconds"] for run in store.iterdir())
    evaluated = sum(json.loads(file.read_text())["seconds"] for file in store.glob("*/evaluation/*/metrics.json"))
    assert form.total.cpu_hours == pytest.approx((trained + evaluated) / 3600)
    assert (form.total.runs, form.total.iterations, form.total.lost, form.development.runs) == (6, 6 * 90, 0, 0)
    assert form.total.energy == pytest.approx(form.total.cpu_hours * 0.010)
    assert [row.runs for row in form.rows] == [2, 2, 2]
    assert sum(row.cpu_hours for row in form.rows) == pytest.approx(form.total.cpu_hours)


def test_hours_of_gpus(store):
    stretch = {"start": 0, "end": 90, "seconds": 3600.0, "processes": 2, "processor": "NVIDIA H100 80GB HBM3"}
    for run in store.iterdir():
        change(run, machine="2 x NVIDIA H100 80GB HBM3", seconds=3600.0, stretches=[stretch])
        for file in run.glob("evaluation/*/metrics.json"):
            file.write_text(json.dumps(json.loads(file.read_text()) | {"seconds": 0.0}))
    (store / "L_reg-0" / "scalars.jsonl").write_text(
        '{"iter": 1, "memory_GiB": 30.5}\n{"iter": 2, "memory_GiB": 31.0}\n'
    )
    form = dupl.compute_form(PLAN, store, overrides=[])
    assert (form.total.gpu_hours, form.total.cpu_hours, form.total.memory) == (12.0, 0.0, 31.0)
    assert form.total.energy == pytest.approx(12 * 0.7)
    assert dupl.compute_form(PLAN, store, overrides=[], watts=350).total.energy == pytest.approx(12 * 0.35)
    assert form.total.devices == ("NVIDIA H100 80GB HBM3",)


def test_a_gpu_whose_power_is_not_known_has_no_estimate(store):
    stretch = {"start": 0, "end": 90, "seconds": 10.0, "processor": "Some GPU"}
    change(store / "L_reg-0", machine="1 x Some GPU", stretches=[stretch])
    form = dupl.compute_form(PLAN, store, overrides=[])
    assert form.total.energy is None and form.rows[0].energy is not None
    with pytest.raises(UserError, match="above 0"):
        dupl.compute_form(PLAN, store, overrides=[], watts=0)


def test_failed_runs_and_the_rest_of_the_store(store):
    change(store / "L_dis-1", state="failed", error="no memory")
    form = dupl.compute_form(PLAN, store, overrides=[], rows=["L_dis"])
    assert (form.total.runs, form.total.lost, form.development.runs) == (2, 1, 4)
    assert 0 < form.total.lost_hours < form.total.cpu_hours


def test_what_a_run_took_over_from_another_one_is_counted_once(store):
    """Neither the evaluations nor the device of a shared beginning are those of the run that begins there."""
    before = dupl.compute_form(PLAN, store, overrides=[], rows=["L_reg"])
    run = store / "L_reg-0"
    seconds = {
        int(file.parent.name[5:]): json.loads(file.read_text())["seconds"]
        for file in run.glob("evaluation/iter_*/metrics.json")
    }
    parts = [
        {"start": 0, "end": 30, "seconds": 0.0, "processor": "another processor", "threads": 1},
        {"start": 30, "end": 90, "seconds": json.loads((run / "status.json").read_text())["seconds"], "threads": 1},
    ]
    change(run, beginning=BEGAN, stretches=parts)
    form = dupl.compute_form(PLAN, store, overrides=[], rows=["L_reg"])
    shared = sum(taken for iteration, taken in seconds.items() if iteration <= 30)
    assert shared > 0
    assert before.total.cpu_hours - form.total.cpu_hours == pytest.approx(shared / 3600, rel=1e-6)
    assert form.total.iterations == before.total.iterations - 30
    assert "another processor" not in form.total.devices


def test_a_beginning_on_another_gpu_does_not_count_in_the_energy(store):
    parts = [
        {"start": 0, "end": 30, "seconds": 0.0, "processor": "NVIDIA H100 80GB HBM3"},
        {"start": 30, "end": 90, "seconds": 3600.0, "processor": "NVIDIA A100-SXM4-40GB"},
    ]
    for file in store.glob("L_reg-*/evaluation/*/metrics.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"seconds": 0.0}))
    for seed in (0, 1):
        machine = "1 x NVIDIA A100-SXM4-40GB"
        change(store / f"L_reg-{seed}", machine=machine, beginning=BEGAN, stretches=parts)
    form = dupl.compute_form(PLAN, store, overrides=[], rows=["L_reg"])
    assert form.total.energy == pytest.approx(2 * 0.4) and form.total.devices == ("NVIDIA A100-SXM4-40GB",)


def test_label_maps_and_printed_numbers_are_no_runs(store):
    label_maps.open_entry(store, "other", ["dupl"])
    whole = dupl.load_plan(PLAN)
    plan = replace(whole.with_label_maps(["other"]), rows=(*whole.rows, Row("old", "Old", printed=True)))
    for shown in (plan, whole.with_label_maps(["other"])):
        form = dupl.compute_form(shown, store, overrides=[])
        assert [row.runs for row in form.rows] == [2, 2, 2]
        assert (form.total.runs, form.development.runs, form.planned, form.finished) == (6, 0, 6, 6)


def test_a_partial_plan_says_so(store):
    """A row without a run is 0, and a note says how many runs are there; stopped runs count with their hours."""
    assert "Incomplete" not in compute_text(dupl.compute_form(PLAN, store, overrides=[]))
    shutil.rmtree(store / "L_reg-0")
    shutil.rmtree(store / "L_reg-1")
    change(store / "L_dis-1", state="interrupted", iteration=30)
    form = dupl.compute_form(PLAN, store, overrides=[])
    assert [(row.runs, row.iterations, row.lost) for row in form.rows] == [(2, 180, 0), (2, 120, 1), (0, 0, 0)]
    assert (form.planned, form.finished) == (6, 3)
    for style in ("md", "latex"):
        assert "Incomplete: 3 of 6 runs of the table are finished in this store." in compute_text(form, style)


def test_its_forms(store, tmp_path):
    form = dupl.compute_form(PLAN, store, overrides=[])
    rows = list(csv.DictReader(io.StringIO(compute_text(form, "csv"))))
    assert [row["runs"] for row in rows] == ["2", "2", "2", "6", "0"]
    assert float(rows[3]["cpu_hours"]) == form.total.cpu_hours
    text = compute_text(form, "md")
    assert text.count("\n| ") == 7 and "Energy is an estimate" in text
    latex = compute_text(form, "latex")
    assert latex.count(r"\\") == 6 and r"\begin{tabular}{lrrrrrrrrr}" in latex
    with pytest.raises(UserError, match="md, latex, csv"):
        compute_text(form, "html")


def test_the_checklist_marks_what_only_a_person_can_answer(store):
    text = dupl.checklist(PLAN, store, overrides=[])
    numbered = [line for line in text.splitlines() if line[:1].isdigit() and ". " in line[:4]]
    assert len(numbered) == len(ITEMS) == 16
    assert sum("only a person can answer this" in line for line in numbered) == 10
    assert "from the runs**: 2 seeds a row" in text and "better student on val" in text
    assert "6 of 16 items answered from the runs." in text


def test_the_commands(store, tmp_path, capsys):
    where = [str(PLAN), "--root", str(store)]
    assert main(["report", *where, "--compute-form"]) == 0
    assert "## Compute:" in capsys.readouterr().out
    assert main(["report", *where, "--compute-form", "--out", str(tmp_path / "x.tex")]) == 0
    assert "tabular" in (tmp_path / "x.tex").read_text()
    assert main(["report", *where, "--checklist"]) == 0
    assert "only a person" in capsys.readouterr().out
    assert main(["report", *where, "--checklist", "--format", "csv"]) == 2
    assert main(["report", *where, "--compute-form", "--format", "html"]) == 2
    assert main(["report", str(store / "L_reg-0"), "--compute-form"]) == 2
    with pytest.raises(SystemExit):
        main(["report", *where, "--compute-form", "--checklist"])


def test_an_archive_has_the_compute_report(archive):
    from dupl.evidence import container

    members = container.read(archive).members
    assert members["compute.md"].startswith(b"## Compute:") and members["compute.csv"].count(b"\n") == 6
