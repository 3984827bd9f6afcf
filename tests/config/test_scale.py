"""Recipes of another length: what is scaled, what stays, what is refused."""

from __future__ import annotations

import pytest

from dupl.cli import main
from dupl.config import catalogue
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
