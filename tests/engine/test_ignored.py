"""What a run's id leaves out changes neither weights nor metrics, bit by bit; what changes them counts.

Each key is changed alone in a run of two students on photos with masks. A key that is ignored and has no case here
fails `test_every_ignored_key_is_tried`.
"""

import json

import pytest
import torch

from dupl.api import train
from dupl.config import catalogue, overrides
from dupl.config.check import RECIPE
from dupl.config.fingerprint import EMPTY, IGNORED, config_id

SHORT = {"schedule.iterations": 8, "schedule.warmup": 2, "evaluation.interval": 4, "runtime.checkpoint_interval": 4}
EMA = {"type": "EMAHook"}
CHANGES = {
    "runtime.checkpoint_interval": {"runtime.checkpoint_interval": 1},
    "runtime.device": {"runtime.device": "auto"},
    "runtime.keep_checkpoints": {"runtime.keep_checkpoints": 1},
    "runtime.log_interval": {"runtime.log_interval": 1},
    "runtime.track": {"runtime.track": {"pictures": 2, "checkpoints": True, "code": False}},
    "runtime.vis_backends": {"runtime.vis_backends": [{"type": "LocalVisBackend"}]},
    "runtime.workers": {"runtime.workers": 2},
    "evaluation.batch_size": {"evaluation.batch_size": 1},
    "evaluation.crf": {"evaluation.crf": {"iterations": 1}},
    "evaluation.final": {"evaluation.final": {"scales": [1.0]}},
    "evaluation.gallery": {"evaluation.gallery": 3},
    "evaluation.quality": {"evaluation.quality": 5},
}
OLD = {"runtime.progress", "evaluation.workers", "work_dir"}  # of configs that earlier versions stored


def outcome(recipe, folder, changes):
    """Weights and metrics of a short run, and its id."""
    recipe = overrides.apply(catalogue.load(recipe), {**SHORT, **changes}, RECIPE)
    train(recipe, folder)
    state = torch.load(folder / "checkpoints" / "iter_000008.pth", weights_only=True)
    best = torch.load(folder / "checkpoints" / "best.pth", weights_only=True)
    metrics = {
        path.parent.name: json.loads(path.read_text())["metrics"]
        for path in sorted((folder / "evaluation").glob("iter_*/metrics.json"))
    }
    tables = {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted((folder / "evaluation").glob("iter_*/*.csv"))
    }
    weights = {**state["state_dict"], **{f"best/{key}": value for key, value in best["state_dict"].items()}}
    return weights, json.dumps(metrics), tables, config_id(recipe)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    return outcome(tiny, tmp_path_factory.mktemp("ignored") / "run", {})


def test_every_ignored_key_is_tried():
    assert set(IGNORED) == CHANGES.keys() | OLD


@pytest.mark.parametrize("key", CHANGES)
def test_a_key_that_is_ignored_changes_nothing(tiny, tmp_path, undisturbed, key):
    weights, metrics, tables, name = outcome(tiny, tmp_path / "run", CHANGES[key])
    assert name == undisturbed[3]
    assert same(weights, undisturbed[0])
    assert metrics == undisturbed[1]
    assert {name: tables[name] for name in undisturbed[2]} == undisturbed[2], "it may add files"


def test_a_key_that_was_removed_is_read_by_nothing():
    for path in OLD:
        section, _, key = path.rpartition(".")
        assert path in RECIPE.unknown_keys({section: {key: 1}} if section else {key: 1})


def test_hooks_change_weights_and_count(tiny, tmp_path, undisturbed):
    weights, _, _, name = outcome(tiny, tmp_path / "run", {"hooks": [EMA]})
    assert name != undisturbed[3]
    assert not same(weights, undisturbed[0]), "a checkpoint holds the averaged weights"


def test_an_empty_value_says_what_leaving_it_out_says(tiny):
    recipe = catalogue.load(tiny)
    for path, values in EMPTY.items():
        for value in values:
            assert config_id(overrides.apply(recipe, {path: value}, RECIPE)) == config_id(recipe), path
