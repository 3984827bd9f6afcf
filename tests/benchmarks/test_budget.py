"""The counted time of a whole training: phases of recipes, and the sum by hand."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def budget(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("budget")


class Side:
    """A worker whose steps take known seconds: the released ones 1, 2 and 4, ours 0.5 before 600 and 1 from then."""

    def __init__(self, factory: str, **_: object) -> None:
        self.ours = factory.startswith("ours")

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, method: str, *_: object, t: int = 0) -> object:
        if method != "timed":
            return None
        return (1.0 if t >= 600 else 0.5) if self.ours else {1000: 1.0, 5000: 2.0, 14000: 4.0}[t], {}


def test_phases_begin_where_a_component_starts(budget):
    assert budget.phases("voc_animals") == [(0, 350), (350, 600), (600, 1000)]
    assert budget.like(budget.phases("voc_animals"), "voc_animals") == [1000, 5000, 14000]


def test_the_sum_by_hand(budget, monkeypatch, tmp_path, capsys):
    """Released: 350 x 1 + 250 x 2 + 400 x 4 = 2450 s; the recipe: 600 x 0.5 + 400 x 1 + 50 = 750 s."""
    monkeypatch.setattr(budget, "Worker", Side)
    (tmp_path / budget.SCRIPT).touch()
    budget.main(["voc_animals", "--reference", str(tmp_path), "--seconds", "50", "--repeats", "1"])
    said = capsys.readouterr().out
    assert "| released maths | all | | 2450 |" in said and "| voc_animals | all | | 750 |" in said
    assert said.endswith("voc_animals takes 0.31 of the time of the released maths\n")


def test_a_folder_that_is_no_checkout_is_refused(budget, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        budget.main(["voc_animals", "--reference", str(tmp_path)])
    assert stopped.value.code == 2 and f"--reference {tmp_path}: no {budget.SCRIPT} there" in capsys.readouterr().err
