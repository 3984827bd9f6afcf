"""How the numbers of a column were selected, and the column without that choice."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import dupl
from dupl.cli import main
from dupl.config import catalogue
from dupl.config.catalogue import to_text
from dupl.config.overrides import apply_to_values
from dupl.errors import UserError
from dupl.plans.plan import Column, load
from dupl.report.tables.column import Evidence
from dupl.report.tables.counts import Metric
from dupl.report.tables.row_run import RowRun
from dupl.report.tables.selection import (
    Rule,
    evaluation_rules,
    fair_plan,
    per_class_paths,
    recipe_rules,
    threshold_rules,
    with_fair,
)
from dupl.report.tables.selection_audit import Audit
from dupl.runs.calls import Call, record
from dupl.runs.run import Run
from dupl.runs.store import RunStore

FIXTURES = Path(__file__).parents[1] / "fixtures"
SEG = Column("Seg", "Seg.", "seg/best/mIoU", "train")
CAM = Column("M", "M", "cam/best/mIoU", "train")


def lines(run: str, metrics: dict[str, float], checkpoint: str = "") -> list[dict[str, object]]:
    facts = dict(run=run, fingerprint=run, protocol="train", name="train", title="squashed", split="val", judged="")
    facts |= dict(checkpoint=checkpoint, iteration=9, last=True)
    return [{**facts, "metric": name, "value": value} for name, value in metrics.items()]


TWO = {"seg/1/mIoU": 40.0, "seg/2/mIoU": 50.0, "seg/mean/mIoU": 48.0, "seg/best/mIoU": 50.0}
ONE = {"seg/1/mIoU": 30.0, "seg/best/mIoU": 30.0}


def rules(*runs: list[dict[str, object]], column: Column = SEG) -> list[Rule]:
    frame = pd.DataFrame([line for run in runs for line in run])
    planned = [RowRun("row", k, name, "", "finished", 9, 9) for k, name in enumerate(dict.fromkeys(frame["run"]))]
    return evaluation_rules(Evidence.of(column, planned, frame), frame)


class TestStudents:
    def test_the_better_of_two_on_the_reported_split(self):
        assert rules(lines("a", TWO), lines("b", TWO)) == [
            Rule("student", "each run's better student on val, the reported split")
        ]

    def test_runs_with_one_student_make_no_choice(self):
        assert rules(lines("a", ONE)) == []
        (rule,) = rules(lines("a", ONE), lines("b", TWO), lines("c", TWO))
        assert rule.text.endswith("(2 of 3 runs; the others have one student)")

    def test_a_named_student_is_no_choice(self):
        assert rules(lines("a", TWO), column=Column("Seg", "Seg.", "seg/2/mIoU", "train")) == []

    def test_students_that_are_not_known_count_as_several(self):
        assert [rule.code for rule in rules(lines("a", {"seg/best/mIoU": 3.0}))] == ["student"]


class TestCheckpoint:
    def test_the_best_one_is_said(self):
        _, rule = rules(lines("a", TWO, "best"), lines("b", TWO, "iter_000009"))
        assert rule.code == "checkpoint" and rule.text.startswith("best checkpoint on val") and "1 of 2" in rule.text

    def test_the_last_one_is_no_choice(self):
        assert [rule.code for rule in rules(lines("a", TWO, "iter_000009"))] == ["student"]


class TestFair:
    def test_the_average_or_the_only_student(self):
        made = with_fair(pd.DataFrame(lines("a", TWO) + lines("b", ONE)))
        found = made[made["metric"] == "seg/fair/mIoU"].set_index("run")["value"]
        assert found.to_dict() == {"a": 48.0, "b": 30.0}

    def test_two_students_without_their_average_have_none(self):
        made = with_fair(pd.DataFrame(lines("a", {"seg/1/mIoU": 1.0, "seg/2/mIoU": 2.0})))
        assert not made["metric"].str.contains("fair").any()

    def test_a_selected_checkpoint_has_none(self):
        frame = with_fair(pd.DataFrame(lines("a", TWO, "best")))
        column = Column("Seg_fair", "Seg., fair", "seg/fair/mIoU", "train")
        evidence = Evidence.of(column, [RowRun("row", 0, "a", "runs/a", "finished", 9, 9)], frame)
        assert evidence.absent("row") == (
            "evaluated with the best checkpoint alone, which was selected: "
            "dupl eval runs/a --protocol train --checkpoint last",
        )

    def test_maps_of_the_counts(self):
        metric = Metric.parse("seg/fair/mIoU")
        assert metric.maps(["seg/1", "seg/2", "seg/mean", "cam/mean"]) == ["seg/mean"]
        assert metric.maps(["seg/1", "cam/1"]) == ["seg/1"]
        assert metric.maps(["seg/1", "seg/2"]) == []

    def test_columns_stand_side_by_side_without_the_papers_number(self):
        plan = fair_plan(load("table4_components"))
        assert [column.key for column in plan.columns] == ["M", "M_fair", "Seg", "Seg_fair"]
        assert plan.columns[1].metric == "cam/fair/mIoU" and plan.columns[1].label == "M, fair"
        assert not any("M_fair" in row.paper for row in plan.rows)

    def test_a_table_of_a_store_has_both(self, capsys):
        where = [str(FIXTURES / "plan.py"), "--root", str(FIXTURES / "store")]
        assert main(["report", *where, "--selection", "fair", "--format", "csv"]) == 0
        found = {(one["row"], one["column"]): one for one in csv.DictReader(io.StringIO(capsys.readouterr().out))}
        for row, map_ in (("L_dis", "cam/mean/mIoU"), ("baseline", "cam/1/mIoU")):
            values = []
            for seed in (0, 1):
                file = FIXTURES / f"store/{row}-{seed}/evaluation/iter_000090/metrics.json"
                values.append(json.loads(file.read_text())["metrics"][map_])
            assert [float(x) for x in found[row, "M_fair"]["values"].split()] == values
        assert found["L_dis", "M_fair"]["ci_over"] == "seeds x images", "from the counts of the averaged students"
        assert found["L_dis", "M_fair"]["selection"] == "" and found["L_dis", "M_fair"]["paper"] == ""
        better = "each run's better student on val, the reported split (4 of 6 runs; the others have one student)"
        assert found["L_dis", "M"]["selection"] == better

    def test_every_format_says_it(self):
        table = dupl.ablation_table(FIXTURES / "plan.py", FIXTURES / "store", selection="fair")
        for form, style in (("md", "full"), ("latex", "full"), ("csv", "full"), ("html", "full"), ("latex", "paper")):
            text = table.render(form, style)
            assert "better student on val, the reported split" in text.replace("&#39;", "'"), (form, style)
        assert "--selection fair" in table.table.provenance["command"]
        assert "fair: the averaged prediction of a run's students" in table.render("md")

    def test_another_word_is_refused(self):
        with pytest.raises(UserError, match=r"^selection is 'best': give one of as-planned, fair$"):
            dupl.ablation_table(FIXTURES / "plan.py", FIXTURES / "store", selection="best")


class TestRecipe:
    def test_thresholds_by_class_are_said(self):
        animals, toy = (catalogue.load_values(name) for name in ("voc_animals", "demo/toy"))
        assert per_class_paths(animals["model"]) == ["threshold.final"] and per_class_paths(toy["model"]) == []
        (rule,) = recipe_rules(SEG, [toy, animals])
        assert rule == Rule("per-class", "values set by hand for each class: model.threshold.final")

    def test_equal_values_are_one_value(self):
        model = {"threshold": {**catalogue.load_values("voc_animals")["model"]["threshold"], "final": [0.5, 0.5]}}
        assert per_class_paths(model) == []
        model["threshold"]["final"] = {"cat": 0.5, "dog": 0.6}
        assert per_class_paths(model) == ["threshold.final"]


class TestThreshold:
    def test_one_that_a_curve_on_the_split_found_is_said(self):
        (rule,) = threshold_rules(CAM, "val", [(0.4, [0.4, 0.45]), (0.5, [0.4, 0.45])])
        assert rule == Rule("threshold", "CAM threshold 0.4, the best one of a curve on val, in 1 of 2 runs")
        assert threshold_rules(CAM, "val", [(0.5, [0.4]), (None, [])]) == []
        assert threshold_rules(SEG, "val", [(0.4, [0.4])]) == [], "no threshold makes a segmentation"

    def test_the_curves_of_the_store_are_read(self, tmp_path):
        root = tmp_path / "store"
        shutil.copytree(FIXTURES / "store", root)
        assert dupl.ablation_table(FIXTURES / "plan.py", root).table.selection["M"][1:] == ()
        folder = root / "L_dis-0/evaluation/val_cam-32-t0.5_iter_000090"
        shutil.copytree(root / "L_dis-0/evaluation/iter_000090", folder)
        facts = json.loads((folder / "metrics.json").read_text())
        facts |= dict(name="cam-32-t0.5", split="val", checkpoint="iter_000090.pth")
        facts["best_threshold"] = {"cam/1": {"threshold": 0.5, "mIoU": 15.0}}
        (folder / "metrics.json").write_text(json.dumps(facts))
        made = dupl.ablation_table(FIXTURES / "plan.py", root).table
        assert [rule.code for rule in made.selection["M"]] == ["student", "threshold"]
        assert made.selection["M"][1].text.startswith("CAM threshold 0.5, the best one of a curve on val, in 6 of 6")
        assert [rule.code for rule in made.selection["Seg"]] == ["student"]


class TestSweep:
    SCENES = dict(type="Toy", split="val", size=64, count=10, seed=7)

    def audit(self, root: Path, reported: dict[str, object], gamma: float) -> Audit:
        """Of a plan's run with a gamma, in a store with a sweep and one of its trials, of gamma 0.75."""
        (root / "sweep.py").write_text(
            '"""A sweep that looks at scenes."""\n'
            'base = "demo/ablation"\n'
            'goal = dict(metric="seg/best/mIoU")\n'
            'space = {"model.noise_filter.gamma": dict(type="float", low=0.5, high=0.99)}\n'
            'sampler = dict(type="random", seed=0)\n'
            "trials = 2\n"
            f'search = dict(set={{"data.val": {self.SCENES!r}}})\n'
        )
        store = RunStore(root / "runs")
        record(store.root, Call("sweep", str(root / "sweep.py")))
        base = catalogue.load_values("demo/ablation")
        trial = apply_to_values(base, {"data.val": self.SCENES, "model.noise_filter.gamma": 0.75})
        Run.create(store.root / "trial", to_text(trial), "f" * 12, ["dupl", "sweep"], 0)
        (root / "plan.py").write_text(
            'base = "demo/ablation"\ncolumns = dict(Seg=dict(metric="seg/best/mIoU"))\n'
            f'rows = dict(one=dict(set={{"model.noise_filter.gamma": {gamma}}}))\n'
        )
        planned = load(root / "plan.py").expand(sets={"data.val": reported})
        return Audit(planned, {planned[0].fingerprint: None}, store.runs(), store)

    def found(self, audit: Audit) -> list[Rule]:
        (sweep,) = audit._sweeps
        rule = audit._swept(sweep, {run.fingerprint: run.values for run in audit.planned})
        return [] if rule is None else [rule]

    def test_values_of_a_trial_on_the_reported_data(self, tmp_path):
        (rule,) = self.found(self.audit(tmp_path, self.SCENES, 0.75))
        assert rule.code == "sweep"
        assert rule.text.startswith("values of model.noise_filter.gamma found by the sweep")
        assert rule.text.endswith("whose trials were evaluated on the same data, in 1 of 1 runs")

    @pytest.mark.parametrize("seed, gamma", [(8, 0.75), (7, 0.8)], ids=["other scenes", "a value of no trial"])
    def test_what_was_not_found_there_is_no_choice(self, tmp_path, seed, gamma):
        assert self.found(self.audit(tmp_path, {**self.SCENES, "seed": seed}, gamma)) == []

    def test_the_recipes_own_value_is_no_choice(self, tmp_path):
        gamma = catalogue.load_values("demo/ablation")["model"]["noise_filter"]["gamma"]
        assert self.found(self.audit(tmp_path, self.SCENES, gamma)) == []

    def test_a_lost_file_is_a_note(self, tmp_path):
        audit = self.audit(tmp_path, self.SCENES, 0.75)
        (tmp_path / "sweep.py").unlink()
        (note,) = audit.notes()
        assert note.startswith("whether the sweep ") and "is not known: no sweep" in note
