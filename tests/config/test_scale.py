"""Recipes of another length: what is scaled, what stays, what is refused."""

from __future__ import annotations

import pytest

from dupl.cli import main
from dupl.config import catalogue
from dupl.config.components import shipped
from dupl.config.scale import scaled, told
from dupl.errors import UserError


def test_phases_and_intervals_keep_their_proportion():
    values = catalogue.load_values("voc/dupl")
    found = scaled(values, 2000)
    assert found == {
        "schedule.iterations": 2000,
        "schedule.warmup": 150,
        "evaluation.interval": 200,
        "runtime.log_interval": 10,
        "runtime.checkpoint_interval": 100,
        "model.noise_filter.start": 800,
        "model.consistency.start": 800,
        "model.segmentation.start": 200,
    }
    line = told(values, found)
    assert line.startswith("20000 -> 2000 iterations, and in proportion: ")
    assert "model.noise_filter.start 8000 -> 800" in line and "\n" not in line


def test_what_was_set_stays_and_no_interval_is_below_one():
    values = catalogue.load_values("demo/toy")
    found = scaled(values, 4, ["model.noise_filter.start"])
    assert "model.noise_filter.start" not in found
    assert found["evaluation.interval"] == 1
    assert found["runtime.log_interval"] == 10, "a row of scalars at every iteration makes a GPU wait"


def test_other_counts_are_not_lengths():
    assert (
        not {"model.refine.iterations", "evaluation.crf.iterations"}
        & scaled(catalogue.load_values("voc/dupl"), 9).keys()
    )


def test_refused(capsys):
    values = catalogue.load_values("voc/dupl")
    with pytest.raises(UserError, match="at least 1"):
        scaled(values, 0)
    model = {
        **values["model"],
        "noise_filter": {k: v for k, v in values["model"]["noise_filter"].items() if k != "start"},
    }
    with pytest.raises(UserError, match="model.noise_filter.start, 8000 by default: state it"):
        scaled({**values, "model": model}, 10)
    assert main(["train", "voc/dupl", "--iterations", "5", "--set", "schedule.iterations=5"]) == 2
    assert "say the same: give one of them" in capsys.readouterr().err


LENGTHS = {"schedule.warmup", "evaluation.interval", "runtime.log_interval", "runtime.checkpoint_interval"}


def components_of(part, path):
    """Yield every component of a model, and the model, with their paths."""
    yield path, part
    for key, value in part.items():
        if isinstance(value, dict):
            yield from components_of(value, f"{path}.{key}")


@pytest.mark.parametrize("name", catalogue.names())
def test_no_number_of_iterations_in_a_shipped_recipe_stays(name):
    """Whatever it is called: the unit of the field decides."""
    values = catalogue.load_values(name)
    stated = {
        f"{path}.{field.name}"
        for path, part in components_of(values["model"], "model")
        for field in (shipped()[part["type"]].section.fields.values() if "type" in part else ())
        if any(kind.unit == "iterations" for kind in field.kinds) and part.get(field.name)
    }
    assert scaled(values, 10 * values["schedule"]["iterations"]).keys() == stated | LENGTHS | {"schedule.iterations"}


def test_the_released_recipes_of_coco_scale_the_auxiliary_labels():
    for name in ("coco/dupl_released", "coco/toco"):
        values = catalogue.load_values(name)
        assert scaled(values, 8000)["model.aux_labels_until"] == 1200, name
