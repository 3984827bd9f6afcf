"""Configs of earlier versions in the values that recipes have now."""

from __future__ import annotations

import copy

import pytest

from dupl.config import catalogue
from dupl.config.fingerprint import config_id
from dupl.config.translate import images_per_loss_recorded, replacement, translate

GPUS, CPU = "2 x NVIDIA GeForce RTX 3090", "16 x core of AMD EPYC"


def old(name: str = "voc/dupl_released", amp: object = "auto", **schedule: object) -> dict:
    """The config of a shipped recipe as version 0.1 stored it."""
    values = catalogue.load_values(name)
    del values["schedule"]["images_per_loss"], values["runtime"]["precision"], values["runtime"]["threads"]
    values["schedule"] |= {"per_gpu": None, "accumulate": 1, "allow_other_batch": False, **schedule}
    values["runtime"]["amp"] = amp
    return values


@pytest.mark.parametrize(
    ("schedule", "machine", "batch", "images"),
    [
        ({}, GPUS, 4, 2),
        ({}, "1 x NVIDIA H200", 4, 4),
        ({}, CPU, 4, 4),  # the number of processes was not recorded
        ({}, None, 4, 4),
        (dict(per_gpu=2), CPU, 4, 2),
        (dict(accumulate=2), CPU, 4, 2),
        (dict(accumulate=2), GPUS, 4, 1),
        (dict(per_gpu=1, accumulate=2), GPUS, 4, 1),
        (dict(per_gpu=3, allow_other_batch=True), GPUS, 6, 3),
        (dict(batch_size=3, allow_other_batch=True), GPUS, 2, 1),
    ],
)
def test_images_per_loss_follow_from_what_is_known(schedule, machine, batch, images):
    found = translate(old(**schedule), machine=machine)["schedule"]
    assert (found["batch_size"], found["images_per_loss"]) == (batch, images)
    assert not {"per_gpu", "accumulate", "allow_other_batch"} & found.keys()


@pytest.mark.parametrize(
    ("amp", "machine", "precision"),
    [
        ("auto", GPUS, "bf16"),
        ("auto", CPU, "off"),
        ("auto", None, "off"),
        ("off", GPUS, "off"),
        ("cam", GPUS, "cam"),
        ("bf16", CPU, "bf16"),
    ],
)
def test_auto_is_what_it_was_on_the_device(amp, machine, precision):
    runtime = translate(old(amp=amp), machine=machine)["runtime"]
    assert runtime["precision"] == precision and "amp" not in runtime


@pytest.mark.parametrize(
    ("recipe", "threads"), [("demo-toy", 2), ("demo-supervised", 2), ("demo-ablation", 1), ("voc_animals", 1), ("", 1)]
)
def test_threads_are_those_of_the_recipe(recipe, threads):
    assert translate(old(), recipe=recipe)["runtime"]["threads"] == threads


@pytest.mark.parametrize("name", ["demo/toy", "demo/ablation", "voc_animals"])
def test_an_old_run_on_a_cpu_has_the_id_of_its_recipe(name):
    found = translate(old(name), machine=CPU, recipe=name.replace("/", "-"))
    assert config_id(found) == config_id(catalogue.load(name))


def test_an_old_run_on_two_gpus_in_float32_has_the_id_of_its_recipe():
    """In bfloat16, which "auto" was there, or on one GPU it was another run."""
    released = config_id(catalogue.load("voc/dupl_released"))
    assert config_id(translate(old(amp="off"), machine=GPUS)) == released
    assert config_id(translate(old(), machine=GPUS)) == config_id(catalogue.load("voc/dupl_fast"))
    assert config_id(translate(old(amp="off"), machine="1 x NVIDIA H200")) != released


@pytest.mark.parametrize("name", catalogue.names())
def test_a_config_of_today_stays(name):
    values = catalogue.load_values(name)
    before = copy.deepcopy(values)
    assert translate(values, machine=GPUS, recipe="demo-toy") == values == before
    assert images_per_loss_recorded(values) and not images_per_loss_recorded(old())


def test_the_config_of_another_trainer_stays():
    values = {"schedule": {"iterations": 5, "batch_size": 4}, "runtime": {"seed": 1}, "steps": 3}
    assert translate(values, machine=GPUS) == values and images_per_loss_recorded(values)


def test_what_is_gone_has_a_replacement():
    assert replacement("runtime.amp") == "runtime.precision"
    assert replacement("schedule.per_gpu") == "schedule.images_per_loss"
    assert replacement("schedule.lr") is None
