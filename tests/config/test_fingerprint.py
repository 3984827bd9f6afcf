import copy
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from dupl.config.fingerprint import IGNORED, canonical, config_id
from dupl.config.text import plain
from dupl.errors import UserError

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
CONFIGS = st.dictionaries(st.sampled_from(["model", "data", "schedule", "runtime"]), VALUES)


def shuffled(value, random):
    """An equal config: keys in another order, lists as tuples, integral numbers of the other type."""
    if isinstance(value, dict):
        items = [(key, shuffled(item, random)) for key, item in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return tuple(shuffled(item, random) for item in value)
    if type(value) is int and abs(value) < 2**53:
        return float(value)
    return value


@given(CONFIGS, st.randoms(use_true_random=False))
def test_how_an_equal_config_is_written_makes_no_difference(config, random):
    assert config_id(shuffled(config, random)) == config_id(config)


@given(VALUES, VALUES)
def test_canonical_texts_are_equal_exactly_where_the_values_are(a, b):
    def typed(value):  # Python holds True and 1 for equal; a config does not
        if isinstance(value, dict):
            return {key: typed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [typed(item) for item in value]
        return (isinstance(value, bool), value)

    assert (canonical(a) == canonical(b)) == (typed(a) == typed(b))


@given(CONFIGS, st.lists(CONFIGS, max_size=2))
def test_configs_that_share_sections_have_the_same_ids(config, others):
    texts = {}
    for values in map(plain, (config, *({**config, **other} for other in others))):
        assert config_id(values, texts) == config_id(values)
        assert config_id({**values}, texts) == config_id(values)


@given(CONFIGS, st.sampled_from(IGNORED), SCALARS | st.dictionaries(st.text(max_size=3), SCALARS))
def test_what_cannot_change_the_result_does_not_count(config, path, value):
    changed = copy.deepcopy(config)
    node = changed
    *parents, last = path.split(".")
    for key in parents:
        if not isinstance(node.setdefault(key, {}), dict):
            return
        node = node[key]
    node[last] = value
    config = {**config, **{key: config.get(key, {}) for key in parents}}
    assert config_id(changed) == config_id(config)


def test_what_changes_the_result_counts():
    config = {"schedule": {"lr": 1e-4}, "runtime": {"seed": 0, "precision": "off"}, "data": {"root": "a"}}
    seen = {config_id(config)}
    for section, key, value in [
        ("schedule", "lr", 2e-4),
        ("runtime", "seed", 1),
        ("runtime", "seed", False),
        ("runtime", "precision", "bf16"),
        ("runtime", "threads", 2),
        ("data", "root", "b"),
        ("data", "new", None),
    ]:
        seen.add(config_id({**config, section: {**config[section], key: value}}))
    assert len(seen) == 8


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_threads_count_unless_the_device_is_a_gpu(device):
    ids = {config_id({"runtime": {"device": device, "threads": n}}) for n in (1, 2)}
    assert len(ids) == (1 if device == "cuda" else 2)


def test_a_known_value_never_changes():
    config = {"model": {"type": "DuPL", "scales": (1.0, 0.5)}, "runtime": {"seed": 0, "workers": 4}}
    assert config_id(config) == config_id(Config(config)) == "7e9a1b3a7ff2"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), print, {1: 2}, {"a": {3}}])
def test_what_is_no_literal_is_refused(value):
    with pytest.raises(UserError, match=r"model\.x"):
        config_id({"model": {"x": value}})


def test_the_config_given_is_left_alone():
    config = {"runtime": {"workers": 4}}
    config_id(config)
    assert config == {"runtime": {"workers": 4}}


def test_the_lab_runs_without_torch():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import dupl.runs.run, dupl.config.overrides as o, dupl.config.fingerprint as f\n"
        "from mmengine.config import Config\n"
        "print(f.config_id(o.apply(Config(dict(a=1)), o.parse(['a=2']))))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == config_id({"a": 2})
