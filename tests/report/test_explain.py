"""What makes two runs differ, and the fewest runs that settle it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import dupl
from dupl import api
from dupl.cli import main
from dupl.config import catalogue
from dupl.config.catalogue import to_text
from dupl.config.fingerprint import config_id
from dupl.config.overrides import apply_to_values
from dupl.errors import UserError
from dupl.report.explain import Explanation
from dupl.runs.run import Run
from dupl.runs.stretches import Stretch

FIXTURES = Path(__file__).parents[1] / "fixtures/store"
GAMMA, RATE, DECAY = {"model.noise_filter.gamma": 0.95}, {"schedule.lr": 5e-4}, {"schedule.weight_decay": 0.5}


class Store:
    """Runs of demo/toy with changes, and a value each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = catalogue.load_values("demo/toy")

    def add(
        self, name: str, value: float | None, *changes: dict[str, Any], seed: int = 0, data: str = "", commit: str = ""
    ) -> Path:
        values = apply_to_values(self.base, {"runtime.seed": seed})
        for change in changes:
            values = apply_to_values(values, change)
        fingerprint = config_id(values) + (f"-{data}" if data else "")
        run = Run.create(self.root / name, to_text(values), fingerprint, ["dupl", "train"], seed)
        if value is not None:
            facts = dict(protocol="squashed", iter=420, data=dict(split="val"), seconds=1.0)
            run.write_json("evaluation/iter_000420/metrics.json", {**facts, "metrics": {"seg/best/mIoU": value}})
        stretches = (Stretch(0, 420, 1.0, commit=commit, changes=""),) if commit else ()
        run.update(state="finished", iteration=420, iterations=420, seconds=30.0, stretches=stretches)
        return run.path

    def explain(self, first: str = "A", second: str = "B") -> Explanation:
        return dupl.explain_runs(self.root / first, self.root / second, self.root)


@pytest.fixture
def store(tmp_path) -> Store:
    """A of 50.0, and B of 56.0 with another gamma and learning rate."""
    made = Store(tmp_path / "runs")
    made.add("A", 50.0)
    made.add("B", 56.0, GAMMA, RATE)
    return made


def effects(found: Explanation) -> list[tuple[str, float | None, int]]:
    return [(one.name, one.effect, one.pairs) for one in found.found]


class TestValues:
    def test_without_other_runs_nothing_is_known(self, store):
        found = store.explain()
        assert found.values == (50.0, 56.0) and found.total == 6.0
        assert effects(found) == [("model.noise_filter.gamma", None, 0), ("schedule.lr", None, 0)]
        assert (found.found[0].old, found.found[0].new) == (0.9, 0.95)

    def test_a_run_between_them_tells_both(self, store):
        store.add("C", 54.0, GAMMA)
        found = store.explain()
        assert effects(found) == [("model.noise_filter.gamma", 4.0, 1), ("schedule.lr", 2.0, 1)]
        assert found.known == found.total == 6.0

    def test_an_effect_is_the_mean_over_pairs_of_any_seed(self, store):
        for seed, (before, after) in enumerate([(40.0, 44.0), (30.0, 31.0)], 1):
            store.add(f"D{seed}", before, seed=seed)
            store.add(f"E{seed}", after, RATE, seed=seed)
        assert effects(store.explain()) == [("schedule.lr", 2.5, 2), ("model.noise_filter.gamma", None, 0)]

    def test_the_largest_is_first(self, store):
        store.add("C", 51.0, GAMMA)
        assert [one.name for one in store.explain().found] == ["schedule.lr", "model.noise_filter.gamma"]
        assert [one.effect for one in store.explain("B", "A").found] == [-5.0, -1.0]

    def test_pairs_of_other_code_are_said(self, store):
        store.add("D", 40.0, seed=1, commit="a" * 40)
        store.add("E", 44.0, GAMMA, seed=1, commit="b" * 40)
        known = store.explain().found[0]
        assert (known.effect, known.pairs, known.mixed) == (4.0, 1, 1)

    def test_unfinished_runs_and_other_data_say_nothing(self, store):
        run = Run(store.add("C", 54.0, GAMMA))
        store.add("D", 54.0, GAMMA, data="aaaaaaaa")
        run.update(state="failed")
        assert {one.effect for one in store.explain().found} == {None}

    def test_an_exchanged_component_is_one_difference(self, store):
        store.add("C", 45.0, {"model.consistency": dict(type="NoConsistency")})
        (one,) = store.explain("A", "C").found
        assert (one.name, one.new, one.effect) == ("model.consistency", {"type": "NoConsistency"}, -5.0)

    def test_what_cannot_change_the_result_is_no_difference(self, store):
        store.add("C", 50.0, {"runtime.log_interval": 7})
        assert store.explain("A", "C").found == ()


class TestRest:
    def test_seeds_with_their_spread(self, store):
        store.add("C", 52.0, seed=1)
        (one,) = store.explain("A", "C").found
        assert (one.kind, one.old, one.new, one.effect) == ("seed", 0, 1, None)
        assert one.note == "seg/best/mIoU of 2 seeds lies between 50.0 and 52.0, standard deviation 1.4"

    def test_code_is_known_where_one_recipe_was_trained_by_both(self, store):
        store.add("C", 40.0, DECAY, commit="a" * 40)
        store.add("D", 41.5, DECAY, commit="b" * 40)
        store.add("E", 30.0, commit="a" * 40)
        store.add("F", 36.0, GAMMA, commit="b" * 40)
        found = {one.name: one for one in store.explain("E", "F").found}
        assert (found["commit"].kind, found["commit"].effect, found["commit"].pairs) == ("making", 1.5, 1)

    def test_training_data(self, store):
        store.add("C", 50.0, DECAY, data="aaaaaaaa")
        store.add("D", 47.0, DECAY, data="bbbbbbbb")
        store.add("E", 50.0, data="aaaaaaaa")
        store.add("F", 40.0, GAMMA, data="bbbbbbbb")
        found = {one.name: one for one in store.explain("E", "F").found}
        assert (found["training data"].old, found["training data"].new) == ("aaaaaaaa", "bbbbbbbb")
        assert found["training data"].effect == -3.0

    def test_a_run_without_the_metric_is_said(self, store):
        store.add("C", None, GAMMA)
        found = store.explain("A", "C")
        assert found.total is None
        assert found.notes[0].endswith("is finished and has no seg/best/mIoU of an evaluation during training")

    def test_a_run_that_went_on_elsewhere_is_said(self, store):
        run = Run(store.add("C", 50.0, GAMMA))
        run.update(stretches=(Stretch(0, 9, 1.0, threads=1), Stretch(9, 420, 1.0, threads=2)))
        assert store.explain("A", "C").notes[0].endswith("C went on in another way from iteration 9 on: threads 1 -> 2")


class TestPlan:
    def test_a_chain_needs_one_run_less_than_differences(self, store):
        store.add("B3", 60.0, GAMMA, RATE, DECAY)
        plan = api.settling_plan(store.explain("A", "B3"), store.root)
        # B is on the way, and the step from it to B3, the decay, is known
        assert sorted(step.name for step in plan.steps) == ["model.noise_filter.gamma", "schedule.lr"]
        assert plan.missing == 1
        assert api.settling_plan(store.explain(), store.root).missing == 1

    def test_what_another_seed_knows_is_left_out_and_its_end_has_to_be_trained(self, store):
        store.add("D", 40.0, seed=1)
        store.add("E", 44.0, GAMMA, seed=1)
        plan = api.settling_plan(store.explain(), store.root)
        assert [step.name for step in plan.steps] == ["schedule.lr"] and plan.missing == 1

    def test_the_order_takes_the_runs_that_there_are(self, store):
        store.add("B4", 60.0, GAMMA, RATE, DECAY, {"schedule.warmup": 12})
        store.add("M", 55.0, RATE, {"schedule.warmup": 12})
        plan = api.settling_plan(store.explain("A", "B4"), store.root)
        names = [step.name for step in plan.steps]
        assert len(names) == 4 and plan.missing == 2, "of three between A and B4, M is there, or B is"
        assert set(names[:2]) in ({"schedule.lr", "schedule.warmup"}, {"schedule.lr", "model.noise_filter.gamma"})

    def test_a_second_student_comes_before_what_needs_it(self):
        first, second = FIXTURES / "baseline-0", FIXTURES / "L_dis-0"
        for pair, names in (
            ((first, second), ["model.students", "model.discrepancy"]),
            ((second, first), ["model.discrepancy", "model.students"]),
        ):
            plan = api.settling_plan(dupl.explain_runs(*pair, FIXTURES), FIXTURES)
            assert [step.name for step in plan.steps] == names and plan.missing == 1

    def test_the_file_is_a_plan_whose_ends_are_the_runs(self, store, tmp_path):
        file = api.write_settling_plan(api.settling_plan(store.explain(), store.root), tmp_path / "settle.py")
        plan = dupl.load_plan(file)
        prints = [run.fingerprint for run in plan.expand()]
        assert [prints[0], prints[-1]] == [Run(store.root / name).status.fingerprint for name in "AB"]
        assert [row.label for row in plan.rows] == ["A", "+ model.noise_filter.gamma", "+ schedule.lr"]
        assert plan.seeds == (0,) and plan.compare == "previous" and plan.columns[0].metric == "seg/best/mIoU"

    def test_nothing_is_overwritten_and_nothing_empty_is_written(self, store, tmp_path):
        plan = api.settling_plan(store.explain(), store.root)
        api.write_settling_plan(plan, tmp_path / "settle.py")
        with pytest.raises(UserError, match=r"settle\.py is there already: name another file$"):
            api.write_settling_plan(plan, tmp_path / "settle.py")
        with pytest.raises(UserError, match="end it with .py"):
            api.write_settling_plan(plan, tmp_path / "settle.txt")
        store.add("C", 54.0, GAMMA)
        with pytest.raises(UserError, match="no value of the recipes is left to settle"):
            api.write_settling_plan(api.settling_plan(store.explain(), store.root), tmp_path / "other.py")


class TestCommand:
    def test_lines(self, store, capsys):
        store.add("D", 40.0, seed=1)
        store.add("E", 44.0, GAMMA, seed=1)
        words = ["explain", str(store.root / "A"), str(store.root / "B"), "--root", str(store.root)]
        assert main(words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].endswith("seg/best/mIoU 50.0") and lines[2] == "B - A: +6.0 points"
        assert lines[4:] == [
            "    +4.0  value   model.noise_filter.gamma: 0.9 -> 0.95  (1 pair of runs that differ in this alone)",
            f" unknown  value   schedule.lr: {store.base['schedule']['lr']!r} -> 0.0005",
            "known effects: +4.0 of +6.0 points, if they add up",
            "to settle the values: from A change schedule.lr: 1 run to train, by the code that is here "
            "(--out FILE writes the plan)",
        ]

    def test_json_and_fingerprints(self, store, capsys, tmp_path):
        names = [Run(store.root / name).status.fingerprint for name in "AB"]
        out = tmp_path / "settle.py"
        assert main(["explain", *names, "--root", str(store.root), "--json", "--out", str(out)]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["total"] == 6.0 and facts["plan"]["missing"] == 1 and out.is_file()
        assert [one["name"] for one in facts["differences"]] == ["model.noise_filter.gamma", "schedule.lr"]

    def test_equal_runs(self, store, capsys):
        store.add("C", 50.0)
        assert main(["explain", str(store.root / "A"), str(store.root / "C"), "--root", str(store.root)]) == 0
        assert "nothing that can change the result differs" in capsys.readouterr().out

    def test_mistakes_are_lines(self, store, capsys):
        run = str(store.root / "A")
        for second, said in ((run, f"dupl: {run} is named twice: give two runs"), ("nothing", "dupl: no run nothing")):
            assert main(["explain", run, second, "--root", str(store.root)]) == 2
            assert capsys.readouterr().err.startswith(said)
