"""Plan files: rows typed and derived, proven against their base, expanded into runs."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from dupl.config import catalogue, overrides
from dupl.config.fingerprint import config_id
from dupl.config.overrides import ABSENT
from dupl.errors import UserError
from dupl.execute.job import plan_jobs
from dupl.plans import plan as plans
from dupl.plans.checks import merge
from dupl.plans.plan import Column

load = partial(plans.load, schema=None)  # the base of these plans is a recipe of no method
BASE = """
model = dict(a=dict(type="A", x=1, y=2), b=dict(type="B", z=3), c=dict(type="C"), rate=0.5)
schedule = dict(lr=0.1, steps=[5, 10])
runtime = dict(seed=0, workers=2)
"""
COLUMNS = 'columns = dict(Seg=dict(label="Seg.", metric="seg/best/mIoU"))\n'
FACTORS = """
factors = dict(
    A=dict(label="a", without={"model.a": dict(type="NoA")}),
    B=dict(label="b", needs=["A"], without={"model.b": dict(type="NoB")}),
    C=dict(label="c", without={"model.c": dict(type="NoC")}, with_={"schedule.lr": 0.2}),
)
"""
ROWS = "rows = dict(none=dict(has=[]), a=dict(has=['A']), all=dict(has=['C', 'B', 'A']))\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty current folder with one recipe, `base`, and one like it at another rate, `other`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalogue, "PACKAGE", tmp_path / "site-packages" / "dupl")
    write(tmp_path, BASE, "experiments/base.py")
    write(tmp_path, "_base_ = 'base.py'\nmodel = dict(rate=0.25)", "experiments/other.py")
    return tmp_path


def write(home: Path, text: str, name: str = "ablations/plan.py") -> Path:
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text, encoding="utf-8")
    return home / name


def plan_of(home: Path, text: str, columns: str = COLUMNS):
    write(home, f"base = 'base'\n{columns}{text}")
    return load("plan")


def refused(home: Path, text: str, columns: str = COLUMNS) -> str:
    """The one line that refuses a plan; it names the file."""
    with pytest.raises(UserError) as caught:
        plan_of(home, text, columns)
    message = str(caught.value)
    assert message.startswith(f"{home / 'ablations' / 'plan.py'}")
    assert "\n" not in message
    return message


def configs(plan, **how) -> dict[str, Config]:
    return {run.row: run.config for run in plan.expand(seeds=[0], **how)}


class TestTypedRows:
    def test_a_factor_that_is_off_replaces_its_component_whole(self, home):
        rows = configs(plan_of(home, FACTORS + ROWS))
        assert rows["none"].model.to_dict() == {
            "a": {"type": "NoA"},
            "b": {"type": "NoB"},
            "c": {"type": "NoC"},
            "rate": 0.5,
        }
        assert rows["a"].model.a == {"type": "A", "x": 1, "y": 2}
        assert rows["a"].model.b == {"type": "NoB"}
        assert [rows[key].schedule.lr for key in rows] == [0.1, 0.1, 0.2], "C sets it where it is on"

    def test_has_is_in_the_order_of_the_factors_and_labels_tell_what_came(self, home):
        plan = plan_of(home, FACTORS + ROWS)
        assert [(row.key, row.has, row.label) for row in plan.rows] == [
            ("none", (), "Baseline"),
            ("a", ("A",), "+ a"),
            ("all", ("A", "B", "C"), "+ b + c"),
        ]
        assert plan.factors == {"A": "a", "B": "b", "C": "c"}
        assert (plan.kind, plan.compare) == ("rows", "previous")

    def test_a_label_is_against_the_row_that_all_are_compared_with(self, home):
        rows = "rows = dict(none=dict(has=[]), a=dict(has=['A']), c=dict(has=['C']))\n"
        assert [r.label for r in plan_of(home, FACTORS + rows).rows] == ["Baseline", "+ a", "c"]
        assert [r.label for r in plan_of(home, FACTORS + rows + "compare = 'none'").rows][1:] == ["+ a", "+ c"]

    def test_what_a_row_says_of_itself(self, home):
        plan = plan_of(home, "rows = dict(r=dict(label='R', note='N', paper=dict(Seg=7), set={'model.rate': 0.1}))")
        (row,) = plan.rows
        assert (row.label, row.note, row.paper, row.overrides) == ("R", "N", {"Seg": 7}, {"model.rate": 0.1})

    def test_the_order_is_set_then_factors_then_the_row(self, home):
        text = (
            "set = {'model.c': dict(type='D'), 'model.rate': 0.1, 'schedule.lr': 0.7}\n"
            "factors = dict(C=dict(without={'model.c': dict(type='NoC')}), L=dict(with_={'schedule.lr': 0.2}))\n"
            "rows = dict(r=dict(has=['L'], set={'schedule.lr': 0.3}), s=dict(has=['C', 'L']), t=dict(has=['C']))"
        )
        r, s, t = configs(plan_of(home, text)).values()
        assert [r.model.c.type, s.model.c.type, t.model.c.type] == ["NoC", "D", "D"]
        assert [r.schedule.lr, s.schedule.lr, t.schedule.lr] == [0.3, 0.2, 0.7]
        assert r.model.rate == 0.1

    def test_a_row_on_another_recipe(self, home):
        plan = plan_of(home, "rows = dict(one=dict(), two=dict(base='other', set={'schedule.lr': 1}))")
        one, two = plan.expand()
        assert [one.recipe, two.recipe] == ["base", "other"]
        assert two.config.model.rate == 0.25
        assert two.changes == {"schedule.lr": (0.1, 1)}

    def test_a_plan_builds_on_another(self, home):
        write(home, COLUMNS + FACTORS + ROWS + "seeds = [3, 4]", "ablations/_base_/part.py")
        plan = plan_of(home, "_base_ = '_base_/part.py'\nrows = dict(all=dict(paper=dict(Seg=1.5)))", "")
        assert [(row.key, row.paper) for row in plan.rows] == [("none", {}), ("a", {}), ("all", {"Seg": 1.5})]
        assert plan.seeds == (3, 4)
        assert catalogue.names("ablations") == ["plan"]

    def test_what_is_not_said(self, home):
        plan = plan_of(
            home,
            "factors = dict(A=dict(with_={'model.a.x': 3}), B=dict(without={'model.a.x': 1}))\n"
            "rows = dict(r=dict(has=[]), s=dict(has=['A', 'B']))",
            "columns = dict(Seg=dict(metric='seg/best/mIoU'))\n",
        )
        assert plan.columns == (Column("Seg", "Seg", "seg/best/mIoU", "train"),)
        assert plan.factors == {"A": "A", "B": "B"}
        assert (plan.seeds, plan.set, plan.heading, plan.reference) == ((0,), {}, "", "")
        assert (plan.title, plan.doc) == ("plan", "")
        first, second = plan.rows
        assert (first.paper, first.note, first.base, first.alike) == ({}, "", "", "")
        assert (first.label, second.label) == ("Baseline", "+ A + B")
        assert plan_of(home, "reference = 'R'\nrows = dict(r=dict())").reference == "R"
        (row,) = plan_of(home, "rows = dict(r=dict())").rows
        assert (row.key, row.label, row.has, row.overrides) == ("r", "r", (), {})

    def test_factors_that_say_the_same_of_one_value_go_together(self, home):
        text = "factors = dict(A=dict(without={'model.a.x': 3}), B=dict(without={'model.a.x': 3}))\n"
        rows = configs(plan_of(home, text + "rows = dict(r=dict(has=[]), s=dict(has=['A', 'B']))"))
        assert [config.model.a.x for config in rows.values()] == [3, 1]


class TestLeaveOneOut:
    def test_the_full_model_and_each_factor_gone_with_what_needs_it(self, home):
        plan = plan_of(home, FACTORS + "leave_one_out = True\nrows = dict(without_C=dict(paper=dict(Seg=3)))")
        assert [(row.key, row.has) for row in plan.rows] == [
            ("full", ("A", "B", "C")),
            ("without_A", ("C",)),
            ("without_B", ("A", "C")),
            ("without_C", ("A", "B")),
        ]
        assert plan.rows[1].label == "without a, b"
        assert [row.paper for row in plan.rows] == [{}, {}, {}, {"Seg": 3}]
        assert (plan.kind, plan.compare) == ("leave_one_out", "full")
        assert configs(plan)["without_B"].model.b == {"type": "NoB"}

    def test_needs_reach_through(self, home):
        chain = FACTORS.replace('label="c"', 'label="c", needs=["B"]') + "leave_one_out = ['A', 'C']"
        assert [row.has for row in plan_of(home, chain).rows] == [("A", "B", "C"), (), ("A", "B")]


class TestFactorial:
    def test_every_combination_that_means_something(self, home):
        plan = plan_of(home, FACTORS + "factorial = True")
        meant = {
            tuple(key for key, on in zip("ABC", switches, strict=True) if on)
            for switches in itertools.product([0, 1], repeat=3)
            if switches[0] or not switches[1]  # B needs A
        }
        assert {row.has for row in plan.rows} == meant
        assert [row.key for row in plan.rows] == ["none", "C", "A", "A+C", "A+B", "full"]
        assert plan.compare == "full"

    def test_what_is_switched_off_is_not_said(self, home):
        plan = plan_of(home, FACTORS + ROWS + "leave_one_out = False\nfactorial = False")
        assert (plan.kind, len(plan.rows)) == ("rows", 3)

    def test_factors_not_named_stay_on(self, home):
        plan = plan_of(home, FACTORS + "factorial = ['C']")
        assert [(row.key, row.has, row.label) for row in plan.rows] == [
            ("none", ("A", "B"), "none"),
            ("full", ("A", "B", "C"), "c"),
        ]
        without_a = plan_of(home, FACTORS + "factorial = ['A']")
        assert [row.key for row in without_a.rows] == ["full"], "B stays on and needs A"


class TestVary:
    TEXT = "vary = dict(label='x', paths=['model.a.x', 'model.b.z'], values=[0, 1, 3])\n"

    def test_all_paths_take_the_value(self, home):
        plan = plan_of(home, self.TEXT + "rows = {'3': dict(label='three', paper=dict(Seg=2.5))}")
        assert [(c.model.a.x, c.model.b.z) for c in configs(plan).values()] == [(0, 0), (1, 1), (3, 3)]
        assert [(row.key, row.label, row.paper) for row in plan.rows] == [
            ("0", "0", {}),
            ("1", "1", {}),
            ("3", "three", {"Seg": 2.5}),
        ]
        assert (plan.kind, plan.heading, plan.factors) == ("vary", "x", {})
        assert plan_of(home, "vary = dict(paths=['model.rate'], values=[0.1])").heading == ""

    def test_it_is_compared_with_the_row_that_is_the_base(self, home):
        text = "vary = dict(paths=['model.rate'], values=[0.1, 0.5])\n"
        assert plan_of(home, text).compare == "0.5"
        assert plan_of(home, text + "set = {'model.a.x': 3}").compare == "0.5", "the base as all rows have it"
        assert plan_of(home, text + "compare = 'previous'").compare == "previous"
        assert plan_of(home, self.TEXT).compare == "0", "none is: the first"

    def test_values_with_names(self, home):
        text = "vary = dict(paths=['model.a'], values=dict(on=dict(type='A'), off=dict(type='NoA')))"
        assert {key: c.model.a.to_dict() for key, c in configs(plan_of(home, text)).items()} == {
            "on": {"type": "A"},
            "off": {"type": "NoA"},
        }


class TestExpand:
    def test_seed_by_seed_in_the_plan_s_order(self, home):
        plan = plan_of(home, FACTORS + ROWS + "seeds = [2, 0]")
        assert [(run.seed, run.row) for run in plan.expand()] == [
            *((2, key) for key in ("none", "a", "all")),
            *((0, key) for key in ("none", "a", "all")),
        ]
        chosen = plan.expand(rows=["all", "none"], seeds=[7])
        assert [(run.seed, run.row, run.config.runtime.seed) for run in chosen] == [(7, "none", 7), (7, "all", 7)]

    def test_a_run_is_the_run_that_the_command_line_would_start(self, home):
        *_, run = plan_of(home, FACTORS + ROWS).expand(rows=["a"], seeds=[5])
        sets = ["model.b={'type': 'NoB'}", "model.c={'type': 'NoC'}", "runtime.seed=5"]
        typed = overrides.apply(catalogue.load("base", schema=None), overrides.parse(sets))
        assert catalogue.plain(run.config) == catalogue.plain(typed)
        assert run.fingerprint == config_id(typed)
        assert (run.plan, run.recipe) == ("plan", "base")

    def test_changes_are_against_the_base_without_the_seed(self, home):
        *_, run = plan_of(home, FACTORS + ROWS).expand(rows=["all"], seeds=[5])
        assert run.changes == {"schedule.lr": (0.1, 0.2)}

    def test_a_swapped_component_is_told_by_its_type_and_new_arguments(self, home):
        text = "rows = dict(r=dict(set={'model.a': dict(type='N', w=0), 'model.b': dict(type='B')}))"
        (run,) = plan_of(home, text).expand()
        assert run.changes == {"model.a.type": ("A", "N"), "model.a.w": (ABSENT, 0), "model.b.z": (3, ABSENT)}

    def test_sets_change_the_base_and_rows_win(self, home):
        plan = plan_of(home, FACTORS + ROWS)
        sets = {"model.a.x": 9, "schedule.lr": 0.9, "runtime.workers": 0}
        rows = configs(plan, sets=sets)
        assert rows["none"].model.a == {"type": "NoA"}
        assert [(c.schedule.lr, c.runtime.workers) for c in rows.values()] == [(0.9, 0), (0.9, 0), (0.2, 0)]
        assert rows["all"].model.a.x == 9
        assert plan.expand(rows=["all"], seeds=[0], sets=sets)[0].changes == {"schedule.lr": (0.9, 0.2)}

    def test_sets_win_over_what_the_plan_sets_for_all_rows(self, home):
        plan = plan_of(home, FACTORS + ROWS + "\nset = {'schedule.lr': 0.5, 'model.a.x': 4}\n")
        rows = configs(plan, sets={"schedule.lr": 0.9})
        assert [c.schedule.lr for c in rows.values()] == [0.9, 0.9, 0.2]
        assert rows["all"].model.a.x == 4

    def test_sets_reach_into_what_the_plan_sets_for_all_rows(self, home):
        """The base has no such argument: the plan gives every row the component that has it."""
        plan = plan_of(home, FACTORS + ROWS + "\nset = {'model.a': dict(type='D', v=1)}\n")
        rows = configs(plan, rows=["a"], sets={"model.a.v": 7})
        assert rows["a"].model.a == {"type": "D", "v": 7}
        with pytest.raises(UserError, match=r"model\.a\.w"):
            configs(plan, rows=["a"], sets={"model.a.w": 7})

    def test_configs_are_independent(self, home):
        one, two = plan_of(home, FACTORS + ROWS).expand(rows=["a"], seeds=[0, 1])
        one.config.model.a.x = 100
        assert two.config.model.a.x == 1

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            (dict(rows=["al"]), r"plan has no row 'al'; did you mean all\?"),
            (dict(rows="a"), r"^rows is the text 'a': give a list of names, \['a'\]$"),
            (dict(seeds=[]), "seeds"),
            (dict(seeds=[1, 1]), "each once"),
            (dict(seeds=[-1]), "from 0"),
            (dict(seeds=[True]), "whole numbers"),
            (dict(sets={"runtime.seed": 3}), "^sets: .*--seeds"),
            (dict(sets={"model.ratee": 3}), r"did you mean model.rate\?"),
            (dict(sets={"model.c": {"type": "NoC"}, "schedule.lr": 0.2}, rows=["none"]), None),
        ],
    )
    def test_mistakes(self, home, how, message):
        plan = plan_of(home, FACTORS + ROWS)
        if message is None:
            assert len(plan.expand(**how)) == 1
        else:
            with pytest.raises(UserError, match=message):
                plan.expand(**how)

    def test_label_maps_are_a_list_of_names(self, home):
        plan = plan_of(home, FACTORS + ROWS)
        assert [row.masks for row in plan.with_label_maps(["mine"]).rows][-1] == "mine"
        with pytest.raises(UserError, match=r"^masks is the text 'mine': give a list of names, \['mine'\]$"):
            plan.with_label_maps("mine")

    def test_protocols_that_the_columns_need(self, home):
        columns = "columns = dict(S=dict(metric='s', protocol='final'), M=dict(metric='m'), N=dict(metric='n'))\n"
        assert plan_of(home, "rows = dict(a=dict())", columns).protocols == ("train", "final")
        assert plan_of(home, "rows = dict(a=dict())").protocols == ("train",)


class TestTwins:
    TWO = "rows = dict(a=dict(), b=dict(set={'runtime.workers': 7}%s), c=dict(set={'model.rate': 0.1}%s))"

    def test_two_rows_of_one_fingerprint_are_refused_unless_they_say_so(self, home):
        assert "rows a and b are the same run" in refused(home, self.TWO % ("", ""))
        a, b, _ = plan_of(home, self.TWO % (", alike='a'", "")).expand()
        assert a.fingerprint == b.fingerprint

    def test_rows_that_say_so_and_are_not(self, home):
        message = refused(home, self.TWO % (", alike='a'", ", alike='a'"))
        assert "rows a and c are not alike: they differ in model.rate" in message

    def test_who_says_so_and_of_whom(self, home):
        text = "rows = dict(a=dict(%s), b=dict(set={'runtime.workers': 7}%s), c=dict(set={'runtime.workers': 8}%s))"
        for said in (
            ("alike='c'", ", alike='c'", ""),
            ("", ", alike='a'", ", alike='a'"),
            ("alike='b'", "", ", alike='b'"),
        ):
            runs = plan_of(home, text % said).expand()
            assert len(runs) == 3 and len({run.fingerprint for run in runs}) == 1
        assert "rows b and c are the same run" in refused(home, text % ("alike='b'", "", ", alike='a'"))
        both = "rows = dict(a=dict(), b=dict(set={'model.rate': 0.1, 'schedule.lr': 0.2}, alike='a'))"
        assert refused(home, both).endswith("they differ in model.rate, schedule.lr")

    def test_sets_that_make_them_so(self, home):
        plan = plan_of(home, "rows = dict(a=dict(), c=dict(set={'model.rate': 0.1}))")
        with pytest.raises(UserError, match="rows a and c are the same run"):
            plan.expand(sets={"model.rate": 0.1})


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("row = dict()", "row is unknown; did you mean rows?"),
            ("rows = [1]", ", line 3: rows is [1]: give a dict"),
            ("rows = dict(a=dict(label=3))", ": rows.a.label is 3: give a string"),
            ("leave_one_out = 'A'", ": leave_one_out is 'A': give True or False, or a list, each a string"),
            ("rows = dict(a=dict(paper=dict(Seg=True)))", "rows.a.paper.Seg is True: give a number"),
            ("rows = dict(a=3)", "rows.a is 3: give a dict"),
            ("rows = dict(a=dict(papr=dict(Seg=1)))", "rows.a.papr is unknown; did you mean paper?"),
            ("rows = dict(a=dict(paper=dict(Sg=1)))", "rows.a.paper names no column 'Sg'; did you mean Seg?"),
            ("rows = dict(a=dict(paper=dict(Seg='1')))", "rows.a.paper.Seg is '1': give a number"),
            ("rows = dict(a=dict(has=['DS']))", "rows.a.has names no factor 'DS'; there are none"),
            (FACTORS + "rows = dict(a=dict())", "rows.a needs has"),
            (FACTORS + "rows = dict(x=dict(has=['AA']))", "rows.x.has names no factor 'AA'; did you mean A?"),
            (FACTORS + "rows = dict(x=dict(has=['B']))", "rows.x.has lacks something: B needs A"),
            (FACTORS + "rows = dict(x=dict(has=['A', 'A']))", "rows.x.has names A twice"),
            ("factors = dict(A=dict(label='a'))\n" + ROWS, "factors.A changes nothing"),
            (
                "factors = dict(A=dict(wihout={}))\n" + ROWS,
                "factors.A.wihout is unknown; did you mean without?",
            ),
            (
                "factors = dict(A=dict(with_={'model.a.x': 3}, needs=['Z']))\n" + ROWS,
                "factors.A.needs names no factor 'Z'; there are A",
            ),
            (
                "factors = dict(A=dict(without={'model.aa': 3}))\nrows = dict(r=dict(has=['A']))",
                "factors.A.without: override model.aa: model has no 'aa', only a, b, c, rate; did you mean model.a?",
            ),
            (
                "factors = dict(A=dict(without={'model.a': dict(type='X')}), B=dict(without={'model.a.x': 3}))\n"
                "rows = dict(r=dict(has=[]))",
                "factors A and B both change model.a.x: make them one",
            ),
            (
                "factors = dict(A=dict(with_={'model.aa': 3}))\nrows = dict(r=dict(has=['A']))",
                "factors.A.with_: override model.aa",
            ),
            (
                "factors = dict(A=dict(without={'model.a.x': 3}), B=dict(without={'model.a': dict(type='X')}))\n"
                "rows = dict(r=dict(has=[]))",
                "factors A and B both change model.a.x: make them one",
            ),
            (
                "factors = dict(A=dict(without={'model.a.x': 3}), B=dict(without={'model.a.x': 4}))\n"
                "rows = dict(r=dict(has=[]))",
                "factors A and B both change model.a.x: make them one",
            ),
            (
                "factors = dict(A=dict(with_={'model.a.x': 3}), B=dict(with_={'model.a.y': 3}),"
                " C=dict(with_={'model.rate': 0.1}, needs=['A', 'B']))\nrows = dict(r=dict(has=['C']))",
                "rows.r.has lacks something: C needs A, B",
            ),
            ("set = {'model.rates': 3}\nrows = dict(a=dict())", "did you mean model.rate?"),
            ("set = {'runtime.seed': 3}\nrows = dict(a=dict())", ": set: runtime.seed is set by the plan's seeds"),
            (
                "set = dict(runtime=dict(seed=3))\nrows = dict(a=dict())",
                ": set: runtime.seed is set by the plan's seeds",
            ),
            ("rows = dict(a=dict(set={'runtime.seed': 1}))", "row a: set: runtime.seed is set by"),
            ("rows = dict(a=dict(set={'model.rates': 3}))", "row a: override model.rates"),
            ("rows = dict(a=dict(set={'model.rate': 'high'}))", "row a: override model.rate: 'high' is a string"),
            ("rows = dict(a=dict(base='othr'))", "no recipe othr"),
            ("rows = dict(a=dict(alike='b'))", "rows.a.alike names no row 'b'; there are a"),
            ("rows = {'a b': dict()}", "row 'a b' has a key that is not of letters"),
            ("seeds = ['0']\nrows = dict(a=dict())", "seeds.0 is '0': give a whole number in [0, 4294967295]"),
            ("compare = 'b'\nrows = dict(a=dict())", "compare names no row 'b'; there are previous, a"),
            ("", "the file needs rows, or one of vary, leave_one_out, factorial"),
            ("leave_one_out = True", "leave_one_out needs factors"),
            ("factorial = True", "factorial needs factors"),
            (
                "factors = dict("
                + ", ".join(f"f{i}=dict(without={{'schedule.lr': {i + 1}}})" for i in range(30))
                + ")\nfactorial = True",
                "factorial combines 30 factors in 1073741824 rows: name at most 10 of them",
            ),
            (FACTORS + "leave_one_out = True\nfactorial = True", "not leave_one_out and factorial"),
            (FACTORS + "leave_one_out = ['D']", "leave_one_out names no factor 'D'"),
            (
                FACTORS + "leave_one_out = True\nrows = dict(without_D=dict())",
                "rows.without_D is no row: 'without_D'; did you mean without_",
            ),
            (
                FACTORS + "leave_one_out = True\nrows = dict(full=dict(has=[]))",
                "rows.full.has is unknown; there are label, paper, note",
            ),
            (FACTORS + "vary = dict(paths=['model.rate'], values=[1])", "vary cannot be combined with factors"),
            ("vary = dict(paths=['model.rate'])", "vary needs values"),
            ("vary = dict(paths=[], values=[1])", "vary.paths is []"),
            ("vary = dict(paths=['model.rate'], values=[0.1, 0.1])", "vary.values names 0.1 twice"),
            ("vary = dict(paths=['model.rate'], values=[-1])", "values=dict(KEY=...)"),
            ("vary = dict(paths=['model.rate'], values=[0.1])\nrows = {'0.2': dict()}", "rows.0.2 is no row: '0.2'"),
            ("vary = dict(paths=['model.ratee'], values=[0.1])", "row 0.1: override model.ratee"),
        ],
    )
    def test_one_line_that_names_the_file_and_the_place(self, home, text, message):
        assert message in refused(home, text)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ("", "the file needs columns"),
            ("columns = dict(M=dict(label='M'))\n", "columns.M needs metric"),
            (
                "columns = dict(M=dict(metric='m', protocol='finale'))\n",
                'columns.M.protocol is \'finale\': give "train" or "final"; did you mean final?',
            ),
        ],
    )
    def test_columns(self, home, columns, message):
        assert message in refused(home, "rows = dict(a=dict())", columns)

    def test_no_base_or_a_missing_one(self, home):
        write(home, COLUMNS + "rows = dict(a=dict())")
        with pytest.raises(UserError, match=r"plan\.py: the file needs base"):
            load("plan")
        write(home, COLUMNS + "base = 'bas'\nrows = dict(a=dict())")
        with pytest.raises(UserError, match=r"plan\.py: no recipe bas .*did you mean base"):
            load("plan")

    def test_no_such_plan(self, home):
        write(home, "", "ablations/table4.py")
        with pytest.raises(UserError, match=r"did you mean table4\?"):
            load("tabel4")


class TestName:
    def test_by_name_by_path_and_below_a_folder(self, home):
        text = f"base = 'base'\n{COLUMNS}rows = dict(a=dict())"
        file = write(home, '"""A title.\n\nMore.\n"""\n' + text, "ablations/mine/plan.py")
        for name, expected in [("mine/plan", "mine/plan"), ("mine/plan.py", "mine/plan"), (file, "plan")]:
            assert load(name).name == expected
        assert load(file).title == "A title"
        assert load(file).doc == "A title.\n\nMore."
        assert load(write(home, text, "mute.py")).title == "mute"
        assert load(write(home, text + "\ntitle = 'T'", "said.py")).title == "T"


LAYERS = st.lists(
    st.dictionaries(
        st.sampled_from(["a", "a.b", "a.b.c", "a.d", "e"]),
        st.integers(0, 3),
        max_size=4,
    ),
    max_size=4,
)


@given(LAYERS)
def test_merged_overrides_do_what_one_after_the_other_do(layers):
    def value(path: str, number: int):
        """A value of the shape that stands at a path."""
        return {"a": {"b": {"c": number}, "d": number}, "a.b": {"c": number}}.get(path, number)

    layers = [{path: value(path, number) for path, number in layer.items()} for layer in layers]
    config = Config({"a": {"b": {"c": -1}, "d": -1}, "e": -1})
    stepwise = config
    for layer in layers:
        stepwise = overrides.apply(stepwise, layer)
    assert catalogue.plain(overrides.apply(config, merge(*layers))) == catalogue.plain(stepwise)


class TestRowsWithoutATraining:
    BASE = 'base = "demo/ablation"\ncolumns = dict(Seg=dict(metric="seg/best/mIoU"))\n'

    def plan(self, tmp_path, rows: str):
        (tmp_path / "plan.py").write_text(f'"""A plan."""\n{self.BASE}rows = dict({rows})\n')
        return plans.load(tmp_path / "plan.py")

    def test_have_no_runs(self, tmp_path):
        plan = self.plan(tmp_path, "a=dict(), b=dict(printed=True, paper=dict(Seg=62.7)), c=dict(masks='other')")
        assert [run.row for run in plan.expand()] == ["a"]
        assert [run.row for run in plan.label_map_runs(seeds=[0, 1])] == ["c", "c"]
        assert plan.rows[1].note == "the number that the paper prints; not run here"
        assert plan.against(plan.rows[1]) is None
        assert plan.against(plan.rows[2]).key == "a"  # the printed row between them has no runs to compare with

    def test_say_so_beside_a_note_of_their_own(self, tmp_path):
        plan = self.plan(tmp_path, "a=dict(note='x'), b=dict(printed=True, paper=dict(Seg=62.7), note='of 2022')")
        assert [row.note for row in plan.rows] == ["x", "the number that the paper prints; not run here; of 2022"]

    def test_label_maps_are_on_the_data_that_the_plan_sets(self, tmp_path):
        (tmp_path / "plan.py").write_text(
            f'"""A plan."""\n{self.BASE}set = {{"data.val.count": 5, "data.val.size": 32}}\n'
            "rows = dict(a=dict(), c=dict(masks='other'))\n"
        )
        plan = plans.load(tmp_path / "plan.py")
        (entry,) = plan.label_map_runs(seeds=[0], sets={"data.val.size": 48})
        (trained,) = plan.expand(seeds=[0], sets={"data.val.size": 48})
        assert entry.values["data"]["val"] == trained.values["data"]["val"]
        assert (entry.values["data"]["val"]["count"], entry.values["data"]["val"]["size"]) == (5, 48)

    @pytest.mark.parametrize(
        "row, message",
        [
            ("printed=True", "a printed row consists of the paper's numbers"),
            ("printed=True, paper=dict(Seg=1.0), base='demo/toy'", "says how a run is trained"),
            ("printed=True, paper=dict(Seg=1.0), masks='other'", "exclude each other"),
        ],
    )
    def test_faults(self, tmp_path, row, message):
        with pytest.raises(UserError, match=message):
            self.plan(tmp_path, f"a=dict(), b=dict({row})")

    def test_a_plan_needs_a_row_that_is_trained(self, tmp_path):
        with pytest.raises(UserError, match="a plan needs a row that is trained"):
            self.plan(tmp_path, "b=dict(printed=True, paper=dict(Seg=62.7))")


def test_a_column_of_another_split_is_evaluated_after_training(tmp_path):
    columns = (
        "T=dict(metric='cam/best/mIoU', split='train'), V=dict(metric='cam/best/mIoU'), "
        "F=dict(metric='seg/best/mIoU', protocol='final')"
    )
    text = f'"""A plan."""\nbase = "demo/ablation"\ncolumns = dict({columns})\nrows = dict(a=dict())\n'
    (tmp_path / "plan.py").write_text(text)
    plan = plans.load(tmp_path / "plan.py")
    after = {("train", "train"): ("cam/best/mIoU",), ("final", "val"): ("seg/best/mIoU",)}
    assert plan.evaluations() == after
    (job,) = plan_jobs(plan.expand(), tmp_path, evaluations=after)
    assert [(step.protocol, step.split) for step in job.steps] == [
        ("train", "val"),
        ("again", "train"),
        ("final", "val"),
    ]
    assert "--split train" in " ".join(job.steps[1].command)
    assert [plan.columns[0].judges(split) for split in ("train", "train-train_aug", "val")] == [True, True, False]
