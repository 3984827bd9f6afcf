"""Every recipe loads, says how to run it, survives being written, and builds its model in groups of parameters."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from dupl.cli import build_parser
from dupl.config import catalogue, overrides
from dupl.config.batch import plan_batch
from dupl.config.fingerprint import config_id
from dupl.config.slots import switches
from dupl.data.transforms import WeakAugment
from dupl.engine.training.optimizer import param_groups
from dupl.method.dupl import DuPL
from dupl.registry import COMPONENTS, DATASETS
from dupl.runs.metric_names import metric_names

NAMES = catalogue.names()
ON = {  # components of the paper that the recipes of a method switch on
    "DuPL": {"DS", "L_dis", "DTA", "ANF", "L_reg"},
    "ToCo": {"L_ptc", "L_ctc", "L_energy"},
    "CoSA": {"L_s2c", "L_energy"},
    "AFA": {"L_aff"},
    "Supervised": set(),
}
FURTHER = {"voc/cosa_repaired": {"queue"}}  # of single recipes
WITHOUT = {"animals/steady": {"L_dis"}, "voc/dupl_steady": {"L_dis"}}  # of single recipes


def types(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every `type` in a config, with the path of the dict that names it."""
    if isinstance(node, dict):
        if "type" in node:
            yield path, node["type"]
        for key, item in node.items():
            yield from types(item, f"{path}.{key}" if path else key)


@pytest.fixture(scope="module", params=NAMES)
def recipe(request):
    """Name and config of each recipe."""
    return request.param, catalogue.load(request.param)


def classes_of(config) -> tuple[str, ...]:
    return DATASETS.get(config.data.train.type).classes


def build_on_meta(config) -> DuPL:
    """The model without a weight in memory."""
    model = config.model.to_dict()
    model["network"]["backbone"].update(pretrained=False, weights=None)
    with torch.device("meta"):
        return COMPONENTS.build({**model, "num_classes": len(classes_of(config))})


def test_the_shipped_recipes_are_there():
    assert {"demo/toy", "voc/dupl", "voc/dupl_in21k", "voc/dupl_released", "voc_animals"} <= set(NAMES)
    assert {"demo/supervised", "voc/supervised"} <= set(NAMES)


def test_the_docstring_has_the_command(recipe):
    name, config = recipe
    lines = [line.strip() for line in catalogue.docstring(name).splitlines()]
    assert lines[0].endswith(".")
    commands = [line.partition("dupl ")[2] for line in lines if line.startswith(("dupl ", "torchrun "))]
    parsed = [build_parser().parse_args(shlex.split(command)) for command in commands]
    assert any(a.command == "demo" if name == "demo/toy" else getattr(a, "recipe", None) == name for a in parsed)
    for arguments in parsed:
        overrides.apply(config, overrides.parse(arguments.set))


def test_what_is_written_loads_as_the_same_run(recipe, tmp_path):
    _, config = recipe
    path = tmp_path / "config.py"
    path.write_text(catalogue.to_text(config))
    again = catalogue.load(path)
    assert catalogue.plain(again) == catalogue.plain(config)
    assert config_id(again) == config_id(config)


def test_every_type_exists(recipe):
    _, config = recipe
    named = list(types(catalogue.plain(config)))
    assert {path for path, _ in named} >= {"data.train", "data.val", "model", "model.students", "model.noise_filter"}
    for path, kind in named:
        registry = DATASETS if path.startswith("data.") else COMPONENTS
        assert registry.get(kind) is not None, f"{path} is {kind}"


def test_the_model_builds_in_groups_of_parameters(recipe):
    name, config = recipe
    model, schedule = build_on_meta(config), config.schedule
    groups = param_groups(model, schedule.lr, schedule.weight_decay, schedule.head_lr)
    further = ["projector"] * (config.model.type == "ToCo")
    assert [g["name"] for g in groups] == ["backbone", "norm", "classifier", "segmentation", *further]
    grouped = sum(len(g["params"]) for g in groups)
    assert grouped == sum(p.requires_grad for p in model.parameters())
    on = {part.slot.mark for part in switches(config.model) if part.on}
    assert on == (ON[config.model.type] | FURTHER.get(name, set())) - WITHOUT.get(name, set())
    assert len(model.students) == 1 + (config.model.type in ("DuPL", "CoSA"))


def test_the_rest_of_it_means_something(recipe):
    _, config = recipe
    classes, schedule = classes_of(config), config.schedule
    WeakAugment.from_dict(config.data.augment.to_dict())
    assert set(config.evaluation.subset.classes) <= set(classes)
    assert config.evaluation.best in metric_names(2, config.evaluation.subset.name)
    assert plan_batch(schedule).images == schedule.batch_size
    assert schedule.warmup < schedule.iterations
    starts = {
        key: (config.model.get(key) or {}).get("start", 0) for key in ("segmentation", "noise_filter", "consistency")
    }
    assert 0 <= starts["segmentation"] < schedule.iterations and starts["noise_filter"] < schedule.iterations
    assert starts["segmentation"] <= starts["noise_filter"] or config.model.noise_filter.type == "TrustAll"
    assert starts["consistency"] < schedule.iterations
    final = config.model.threshold.get("final")
    assert not isinstance(final, list) or len(final) == len(classes) - 1


@pytest.mark.parametrize("name", ["voc/afa", "voc/afa_repaired", "coco/afa"])
def test_afa_is_evaluated_as_its_release_is(name):
    """Its background score is 0.45, and its CRF has kernels of 3 and 64 px (configs and test script of AFA)."""
    evaluation = catalogue.load(name).evaluation
    assert (evaluation.cam_threshold, evaluation.final.scales) == (0.45, [1.0, 0.5, 0.75])
    crf = dict(iterations=10, sxy=3, compat=3, bilateral_sxy=64, srgb=5, bilateral_compat=4)
    assert evaluation.crf.to_dict() == crf


@pytest.mark.parametrize(
    ("name", "batch", "images_per_loss", "threshold"),
    [
        ("voc/toco", 4, 2, 0.5),
        ("coco/toco", 8, 2, 0.45),
        ("voc/cosa", 4, 2, 0.5),
        ("coco/cosa", 8, 4, 0.5),
        ("voc/afa", 4, 2, 0.45),
        ("coco/afa", 8, 2, 0.45),
    ],
)
def test_losses_and_thresholds_are_those_of_the_release(name, batch, images_per_loss, threshold):
    """The images of a process and its threshold on CAMs, from the launch scripts, defaults and logs of each release."""
    recipe = catalogue.load(name)
    assert (recipe.schedule.batch_size, recipe.schedule.images_per_loss) == (batch, images_per_loss)
    assert recipe.evaluation.cam_threshold == threshold


def test_recipes_are_different_runs():
    assert len({config_id(catalogue.load(name)) for name in NAMES}) == len(NAMES)
