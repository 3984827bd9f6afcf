"""Sweep files: spaces, constraints, points, and what is refused."""

import pytest
from optuna.trial import FixedTrial

from dupl.errors import UserError
from dupl.plans.space import changes, grid, point, suggest
from dupl.plans.space_file import read_space
from dupl.plans.sweep import load

VAL = dict(type="Toy", split="val")  # of the recipe
NUMBER = dict(type="float", low=0.0, high=1.0)
WARM = dict(type="int", low=2, high=8, step=2, paths=["a.start", "b.start"])
PART = dict(type="categorical", paths=["part"], choices={"A": dict(type="A", z=1.0), "none": dict(type="None")})


class TestSpace:
    def test_paths_move_together(self):
        space = read_space({"warm-up": WARM})
        assert changes(space, {"warm-up": 4}) == {"a.start": 4, "b.start": 4}

    def test_a_parameter_is_asked_for_only_under_its_condition(self):
        space = read_space({"part": PART, "part.z": {**NUMBER, "when": {"part": "A"}}})
        assert suggest(space, FixedTrial({"part": "A", "part.z": 0.5})) == {"part": "A", "part.z": 0.5}
        assert suggest(space, FixedTrial({"part": "none", "part.z": 0.5})) == {"part": "none"}

    def test_a_part_of_a_chosen_component_is_set_after_it(self):
        space = read_space({"part": PART, "part.z": {**NUMBER, "when": {"part": "A"}}})
        assert list(changes(space, {"part": "A", "part.z": 0.5}).items()) == [
            ("part", dict(type="A", z=1.0)),
            ("part.z", 0.5),
        ]

    def test_the_point_of_the_base_is_read_back(self):
        space = read_space({"warm-up": WARM, "part": PART, "part.z": {**NUMBER, "when": {"part": "A"}}})
        base = dict(a=dict(start=6), b=dict(start=6), part=dict(type="A", z=1))
        assert point(space, base, {}) == {"warm-up": 6, "part": "A", "part.z": 1.0}
        assert point(space, base, {"part": "none"}) == {"warm-up": 6, "part": "none"}

    @pytest.mark.parametrize("value", [1, 9, 5, "4", True])
    def test_a_point_outside_is_refused(self, value):
        with pytest.raises(UserError, match="outside 2 to 8 by 2"):
            point(read_space({"warm-up": WARM}), {}, {"warm-up": value})

    def test_paths_that_differ_in_the_base(self):
        with pytest.raises(UserError, match="differ in the base"):
            point(read_space({"warm-up": WARM}), dict(a=dict(start=4), b=dict(start=6)), {})

    def test_grid_keeps_conditions(self):
        space = read_space({"part": PART, "part.z": {**NUMBER, "when": {"part": "A"}}})
        assert grid(space, 3) == [
            {"part": "A", "part.z": 0.0},
            {"part": "A", "part.z": 0.5},
            {"part": "A", "part.z": 1.0},
            {"part": "none"},
        ]

    def test_grid_of_steps_and_of_a_log_scale(self):
        space = read_space({"warm-up": WARM, "lr": dict(type="float", low=0.01, high=1.0, log=True)})
        points = grid(space, 3)
        assert sorted({p["warm-up"] for p in points}) == [2, 4, 6, 8]
        assert sorted({round(p["lr"], 12) for p in points}) == [0.01, 0.1, 1.0]

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            (dict(type="real"), "write dict"),
            (dict(type="float", low=0.0), "needs high"),
            (dict(type="float", low=1.0, high=1.0), "not below"),
            (dict(type="float", low=0.0, high=1.0, log=True), "log needs low above 0"),
            (dict(type="int", low=0, high=4, step=9), "does not fit"),
            (dict(type="int", low=0, high=4, stepp=1), "did you mean step"),
            (dict(type="categorical", choices=[[1], [2]]), "write scalars"),
            ({**NUMBER, "when": {"later": 1}}, "no parameter before it"),
        ],
    )
    def test_a_bad_parameter(self, spec, said):
        with pytest.raises(UserError, match=said):
            read_space({"x": spec})


class TestConstraints:
    def violations(self, lab, constraints, **params):
        sweep = load(lab.sweep(constraints=constraints), schema=None)
        point = {"toy.x": 0.5, "toy.y": 0.5, **params}
        return sweep.violations(sweep.run(point), point)

    def test_by_how_much_it_is_broken(self, lab):
        constraints = ["toy.x <= toy.y", "toy.x < model.limit", "toy.y >= 0.25"]
        assert self.violations(lab, constraints, **{"toy.x": 0.75}) == pytest.approx([0.25, 0.0, 0.0])
        assert self.violations(lab, constraints, **{"toy.y": 0.0}) == pytest.approx([0.5, 0.0, 0.25])

    def test_equality_breaks_only_the_strict(self, lab):
        equal = {"toy.x": 0.9, "toy.y": 0.9}
        loose, strict = self.violations(lab, ["toy.x <= model.limit", "toy.x < model.limit"], **equal)
        assert loose == 0 < strict

    @pytest.mark.parametrize("text", ["toy.x", "toy.x <= toy.q", "toy.x == 1", 3])
    def test_what_is_none(self, lab, text):
        with pytest.raises(UserError, match="constraint"):
            load(lab.sweep(constraints=[text]), schema=None)


class TestFile:
    def test_the_papers_point_is_the_base(self, lab):
        assert load(lab.sweep(), schema=None).start_from == ({"toy.x": 0.5, "toy.y": 0.5},)

    def test_the_study_is_named_by_what_makes_trials_comparable(self, lab):
        name = load(lab.sweep(), schema=None).study
        assert load(lab.sweep(trials=9, title="Another"), schema=None).study == name
        others = [
            dict(space={"toy.x": NUMBER}),
            dict(sampler=dict(type="random", seed=1)),
            dict(set={"toy.y": 0.25}),
            dict(search=dict(count=5)),
        ]
        assert len({name, *(load(lab.sweep(**values), schema=None).study for values in others)}) == 5
        assert load(lab.sweep(), {"toy.y": 0.75}, schema=None).study != name
        assert load(lab.sweep(toy=dict(y=0.25)), schema=None).study != name  # the recipe changed, not the file

    def test_search_is_held_out_of_training_by_default(self, lab):
        data = load(lab.sweep(), schema=None).config.data
        assert (data.train.type, data.train.held, data.val.held) == ("Part", False, True)
        assert data.train.of == data.val.of == dict(type="Toy", split="train", count=40)

    def test_arguments_are_all_explicit(self, lab):
        sweep = load(lab.sweep(sampler=dict(type="TPE"), pruner=dict(type="Hyperband")), schema=None)
        assert sweep.sampler["multivariate"] is True and sweep.sampler["n_startup_trials"] == 10
        assert sweep.pruner["max_resource"] == 3  # evaluations: 6 iterations by 2

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            (dict(sampler=dict(type="TPP")), "did you mean TPE"),
            (dict(sampler=dict(type="TPE", startup=3)), "no argument 'startup'"),
            (dict(pruner=dict(type="medium")), "did you mean median"),
            (dict(goal=[dict(metric="a"), dict(metric="b")], pruner=dict(type="median")), "needs one goal"),
            (dict(goal=[dict(metric="a"), dict(metric="b")], sampler=dict(type="CMA-ES")), "has one goal"),
            (dict(goal=dict(metric="gpu_hours")), "goal"),
            (dict(goal=dict(metric="a", direction="up")), "goal.direction"),
            (dict(space={"toy.q": NUMBER}), "has no 'q'"),
            (dict(space={}), "needs a space"),
            (dict(space={"toy.part": NUMBER}), "space.toy.part"),
            (dict(start_from=[{"toy.z": 1}]), "did you mean"),
            (dict(start_from=[{"toy.x": 2.0}]), "outside"),
            (dict(constraints=["toy.x < 0.5"]), "start_from: .* breaks toy.x < 0.5"),
            (dict(search=dict(set={})), "is the data of the report"),
            (dict(search=dict(set={"data.val": dict(type="Part", of=VAL, count=9)})), "is the data of the report"),
            (dict(search=dict(share=0.1, count=3)), "hold out"),
            (dict(trials=0), "at least 1"),
            (dict(trails=4), "did you mean trials"),
            (dict(space=None), "needs space"),
        ],
    )
    def test_a_mistake_names_the_file(self, lab, values, said):
        with pytest.raises(UserError, match=said) as error:
            load(lab.sweep(**values), schema=None)
        assert str(lab.folder / "s.py") in str(error.value)

    @pytest.mark.parametrize(
        ("override", "said"),
        [
            ({"schedule.lr": "fast"}, "override schedule.lr: 'fast'"),
            ({"schedule.lr": -1.0}, "override schedule.lr=-1.0: "),
            ({"schedule.rate": 0.1}, "override schedule.rate: "),
        ],
    )
    def test_a_wrong_override_is_no_mistake_of_the_file(self, override, said):
        with pytest.raises(UserError) as error:
            load("animals_values", override)
        assert str(error.value).startswith(said)

    @pytest.mark.parametrize("name", ["demo", "dta_anf", "weights", "backbone_lr", "animals_values"])
    def test_the_sweeps_that_come_with_it(self, name):
        sweep = load(name)
        first = sweep.run(sweep.start_from[0])
        assert first.changes == {}  # the paper's point is the recipe
        assert not any(sweep.violations(first, sweep.start_from[0]))
