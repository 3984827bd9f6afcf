import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from dupl.config.catalogue import load, plain
from dupl.config.check import RECIPE
from dupl.config.overrides import ABSENT, apply, diff, parse
from dupl.errors import UserError


def config():
    return Config(
        {
            "model": {
                "type": "DuPL",
                "noise_filter": {"type": "MixtureFilter", "gamma": 0.95, "start": 8000},
                "network": {"backbone": {"name": "deit", "options": {"depth": 12, "img": 448}}},
                "threshold": None,
            },
            "data": {"augment": {"scale": (0.5, 2.0), "flip": 1}, "sets": [{"root": "a"}, {"root": "b"}]},
            "schedule": {"iterations": 20000, "lr": 6e-5, "lists": None},
            "runtime": {"precision": "auto", "deterministic": True, "tags": []},
        }
    )


class TestParse:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1e-4", 1e-4),
            ("-3", -3),
            ("0.9", 0.9),
            ("True", True),
            ("None", None),
            ("(1.0, 0.5)", (1.0, 0.5)),
            ('{"depth": 4}', {"depth": 4}),
            ("/x/y", "/x/y"),
            ("a=b=c", "a=b=c"),
            ("'2012'", "2012"),
            ("", ""),
            ("true", "true"),
            ("[1,", "[1,"),
            ("{[]: 1}", "{[]: 1}"),
            ("1-2", "1-2"),
            ("dict(type='TrustAll', a=-1)", {"type": "TrustAll", "a": -1}),
            ("[0.5] * 2 + [1]", [0.5, 0.5, 1]),
            ("dict(a=f())", "dict(a=f())"),
            ("dict(**x)", "dict(**x)"),
            (" 1", 1),
            ("open('x')", "open('x')"),
            ("(" * 5000, "(" * 5000),
        ],
    )
    def test_a_literal_or_else_a_string(self, text, value):
        parsed = parse([f"a.b={text}"])
        assert parsed == {"a.b": value}
        assert type(parsed["a.b"]) is type(value)

    @given(st.text())
    def test_no_value_is_refused_or_executed(self, text):
        assert list(parse([f"a={text}"])) == ["a"]

    @given(
        st.integers()
        | st.text()
        | st.lists(st.floats(allow_nan=False, allow_infinity=False))
        | st.none()
        | st.booleans()
    )
    def test_what_python_prints_comes_back(self, value):
        assert parse([f"a={value!r}"]) == {"a": value}

    def test_the_last_of_a_path_counts(self):
        assert parse(["a=1", "b=2", "a=3"]) == {"a": 3, "b": 2}

    @pytest.mark.parametrize("text", ["schedule.lr", "=1", " =1", ""])
    def test_a_text_that_is_none_is_refused(self, text):
        with pytest.raises(UserError, match="write path=value"):
            parse([text])


class TestApply:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("schedule.lr", 1),
            ("schedule.iterations", 100),
            ("data.augment.flip", 0.5),
            ("data.augment.scale", [1.0, 1.0]),
            ("data.augment.scale.0", 0.7),
            ("data.sets.1.root", "/x"),
            ("data.sets", [{"root": "c"}]),
            ("model.threshold", {"type": "FixedThreshold", "tau_h": 0.5}),
            ("model.noise_filter", {"type": "TrustAll"}),
            ("model.noise_filter", None),
            ("model.network.backbone.options", {"depth": 4}),
            ("schedule.lists", 2),
            ("schedule.lists", "auto"),
            ("runtime.precision", False),
            ("runtime.tags", ["a"]),
            ("schedule", {"iterations": 1}),
        ],
    )
    def test_a_value_replaces_the_old_one_whole(self, path, value):
        changed = apply(config(), {path: value})
        assert isinstance(changed, Config)
        node = changed
        for key in path.split("."):
            node = node[int(key) if key.isdecimal() else key]
        assert diff({"value": node}, {"value": value}) == {}
        assert all(key.startswith(path) or path.startswith(key) for key in diff(config(), changed))

    def test_nothing_else_and_not_the_original_changes(self):
        original = config()
        before = copy.deepcopy(plain(original))
        changed = apply(original, {"model.noise_filter.gamma": 0.9})
        assert plain(original) == before
        assert diff(original, changed) == {"model.noise_filter.gamma": (0.95, 0.9)}
        changed.schedule.lr = 1
        assert plain(original) == before

    def test_a_component_keeps_no_argument_of_the_old_one(self):
        changed = apply(config(), parse(['model.noise_filter={"type": "TrustAll"}']))
        assert changed.model.noise_filter == {"type": "TrustAll"}
        assert changed.model.noise_filter.type == "TrustAll"

    def test_whole_numbers_stay_integers_and_tuples_tuples(self):
        changed = apply(config(), parse(["schedule.iterations=1e3", "data.augment.scale=[1, 2]"]))
        assert repr(changed.schedule.iterations) == "1000"
        assert changed.data.augment.scale == (1, 2)

    def test_overrides_apply_in_order(self):
        changed = apply(config(), {"model.noise_filter": {"type": "X", "a": 1}, "model.noise_filter.a": 2})
        assert changed.model.noise_filter == {"type": "X", "a": 2}

    def test_the_file_of_the_recipe_is_remembered(self, tmp_path):
        (tmp_path / "r.py").write_text("a = 1")
        changed = apply(Config.fromfile(tmp_path / "r.py"), {"a": 2})
        assert changed.filename == str(tmp_path / "r.py")

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            (
                "model.noise_filter.gama",
                r"only type, gamma, start; did you mean model\.noise_filter\.gamma\?",
            ),
            (
                "model.noise_filter.gama",
                r"^override model\.noise_filter\.gama: model\.noise_filter has no 'gama'",
            ),
            ("shedule.lr", r"the config has no 'shedule', only model, .*did you mean schedule\.lr\?"),
            ("schedule.lr.x", r"schedule\.lr is 6e-05 and has no parts; did you mean schedule\.lr\?"),
            ("data.sets.2.root", r"data\.sets has the indices 0 to 1; did you mean data\.sets\.1\.root"),
            ("data.sets.-1", r"data\.sets has the indices 0 to 1"),
            ("runtime.tags.0", r"runtime\.tags is empty"),
            ("model..x", r"model has no ''"),
            ("qqqq", r"the config has no 'qqqq', only model, data, schedule, runtime$"),
        ],
    )
    def test_an_unknown_path_is_an_error(self, path, message):
        with pytest.raises(UserError, match=message):
            apply(config(), {path: 1})

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            (
                "schedule.lr",
                "fast",
                r"override schedule\.lr: 'fast' is a string, not a number; write a number",
            ),
            ("schedule.lr", True, "True is True or False, not a number"),
            ("runtime.deterministic", 1, "1 is a number, not True or False; write True or False"),
            ("runtime.deterministic", "true", "'true' is a string, not True or False; write True or False"),
            (
                "data.sets.0.root",
                2012,
                r"2012 is a number, not a string; write data\.sets\.0\.root=\"'2012'\"",
            ),
            ("data.augment.scale", 1.0, "1.0 is a number, not a list"),
            ("schedule", 3, "3 is a number, not a dict; write a dict"),
            ("model.noise_filter", "TrustAll", r"""write model\.noise_filter='\{"type": "TrustAll"\}'"""),
            (
                "model.noise_filter",
                {"gamma": 1},
                r"needs its type; change one argument by model\.noise_filter\.NAME=",
            ),
            ("schedule.lists", {1, 2}, r"schedule\.lists is \{1, 2\}"),
            ("schedule.lr", float("inf"), r"schedule\.lr is inf"),
        ],
    )
    def test_a_value_of_another_kind_is_refused(self, path, value, message):
        with pytest.raises(UserError, match=message):
            apply(config(), {path: value})


LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.sampled_from(["a", "b"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pqr"), inner, max_size=3),
    max_leaves=8,
)
CONFIGS = st.dictionaries(st.sampled_from("xyz"), TREES, max_size=3)


def varied(value, random):
    """A config with the same paths, whose values are other ones of the same kinds."""
    if isinstance(value, dict):
        return {key: varied(item, random) for key, item in value.items()}
    if isinstance(value, list):
        return [varied(item, random) for item in value][: random.randint(0, 2)]
    if isinstance(value, bool):
        return random.random() < 0.5
    if isinstance(value, (int, float)):
        return random.choice([value, random.randint(-5, 5), random.random()])
    return random.choice([value, "c", None] if isinstance(value, str) else [value, 1, [2], {"p": 3}])


class TestDiff:
    def test_it_names_what_was_changed_added_and_removed(self):
        assert diff({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "d": 4}}) == {
            "a.b": (1, 3),
            "a.c": (2, ABSENT),
            "a.d": (ABSENT, 4),
        }

    def test_a_switch_is_no_number(self):
        assert diff({"a": True, "b": (1, 2)}, {"a": 1, "b": [1.0, 2]}) == {"a": (True, 1)}

    @given(CONFIGS)
    def test_a_config_does_not_differ_from_itself(self, values):
        assert diff(values, copy.deepcopy(values)) == {}

    @given(CONFIGS, CONFIGS)
    def test_it_can_be_turned_round(self, a, b):
        assert diff(b, a) == {path: (new, old) for path, (old, new) in diff(a, b).items()}

    @given(CONFIGS, st.randoms(use_true_random=False))
    def test_applied_it_leads_from_one_config_to_the_other(self, a, random):
        b = varied(a, random)
        changes = {path: new for path, (_, new) in diff(a, b).items()}
        assert diff(apply(Config(a), changes), b) == {}


def test_a_key_at_its_default_may_be_stated():
    recipe = load("voc/dupl")
    assert "upright" not in recipe.data.val
    assert apply(recipe, {"data.val.upright": True}, RECIPE).data.val.upright is True
    with pytest.raises(UserError, match="override data.val.uprigth: data.val has no 'uprigth'"):
        apply(recipe, {"data.val.uprigth": True}, RECIPE)
    with pytest.raises(UserError, match=r"data\.val\.upright"):
        apply(recipe, {"data.val.upright": 3.5}, RECIPE)


def test_a_component_that_a_recipe_leaves_out_may_be_stated_by_parts():
    recipe = load("voc/dupl")
    assert "class_contrast" not in recipe.model
    sets = {"model.class_contrast.type": "ClassTokenContrast", "model.class_contrast.projector.hidden": 64}
    assert apply(recipe, sets, RECIPE).model.class_contrast == {
        "type": "ClassTokenContrast",
        "projector": {"hidden": 64},
    }
    with pytest.raises(UserError, match=r"^override model.class_contrats.type: model has no 'class_contrats'"):
        apply(recipe, {"model.class_contrats.type": "ClassTokenContrast"}, RECIPE)
    with pytest.raises(
        UserError, match=r"model.class_contrast.type is 'ClassContrast', which is no class contrast; did"
    ):
        apply(recipe, {"model.class_contrast.type": "ClassContrast"}, RECIPE)
    with pytest.raises(UserError, match=r"^override data.vaal.root: data has no 'vaal'"):
        apply(recipe, {"data.vaal.root": "x"}, RECIPE)
