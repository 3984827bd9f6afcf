"""Columns of other splits than val: nothing of one split stands for another."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from dupl.plans.plan import Column, Row
from dupl.report.plan_report import class_rates
from dupl.report.tables.column import Evidence, shown_split
from dupl.report.tables.evaluated_data import evaluated_on_one
from dupl.report.tables.other_data import other_data_notes
from dupl.report.tables.row_run import RowRun

TRAIN = Column("T", "train", "cam/1/OA", "train", split="train")
VAL = Column("V", "val", "cam/1/OA", "train")


def run(name: str, **data: object) -> SimpleNamespace:
    """A planned run whose recipe names these data sets."""
    return SimpleNamespace(plan="plan", row=name, seed=0, fingerprint=name, values={"data": data})


def stored(*evaluations: SimpleNamespace) -> SimpleNamespace:
    found = SimpleNamespace(evaluations=list(evaluations), state="finished", fingerprint="a")
    found.evaluated_on = lambda read: SimpleNamespace(read=read)
    return found


def evaluation(split: str, read: str) -> SimpleNamespace:
    return SimpleNamespace(protocol="train", split=split, read=read, last=True, best=False)


@pytest.mark.parametrize(
    ("column", "splits", "shown"),
    [
        (TRAIN, ["val", "val", "train"], "train"),
        (TRAIN, ["val", "train-train_aug"], "train-train_aug"),
        (TRAIN, ["val", "train_full"], ""),
        (VAL, ["train", "train", "val"], "val"),
        (VAL, ["test", "test", "train"], "test"),
        (VAL, [], ""),
    ],
)
def test_the_split_of_a_column(column, splits, shown):
    assert shown_split(column, pd.Series(splits, dtype=object)) == shown


def test_rates_per_class_are_of_the_split_of_their_column():
    lines = [("a", "val", "cam/1", "cat", 10.0), ("a", "train", "cam/1", "cat", 70.0)]
    counts = pd.DataFrame(lines, columns=["fingerprint", "split", "map", "class", "OA"])
    plan = SimpleNamespace(columns=(TRAIN, VAL), rows=(Row("a", "A"),))
    store = SimpleNamespace(counts=lambda stored, **chosen: counts)
    found = class_rates(plan, [RowRun("a", 0, "a", "runs/a", "finished")], store, [])
    assert {name: table.loc["cat", "A"] for name, table in found.items()} == {
        "cam/1/OA on train": 70.0,
        "cam/1/OA": 10.0,
    }


def test_runs_that_are_trained_on_different_data_may_each_be_judged_on_their_own():
    """Their validation set is one, which must be in one state; their training sets are two."""
    planned = [run("a", val={"type": "V"}, train={"type": "T"}), run("b", val={"type": "V"}, train={"type": "U"})]
    there = {
        "a": stored(evaluation("val", "v"), evaluation("train", "t")),
        "b": stored(evaluation("val", "v"), evaluation("train", "u")),
    }
    assert evaluated_on_one(planned, there, ["train"]) == there


def test_data_of_another_split_that_begin_with_val_are_no_other_validation_data(monkeypatch):
    monkeypatch.setattr("dupl.report.tables.other_data.evaluation_reads", lambda values: "v")
    planned = [run("a", val={"type": "V", "root": "/data"})]
    shown = {"a": stored(evaluation("val", "v"), evaluation("val_full", "f"))}
    assert other_data_notes(planned, shown, [], ["train"]) == []
    shown = {"a": stored(evaluation("val-part", "w"))}
    (note,) = other_data_notes(planned, shown, [], ["train"])
    assert "evaluated on other validation data (w) than those that are here now (v)" in note


def test_an_evaluation_of_another_split_is_none_on_other_data():
    """A missing value on val is not explained by an evaluation of train that a newer one has replaced."""
    shared = dict(protocol="train", title="squashed", metric="cam/1/OA", judged="", iteration=9, value=1.0)
    lines = [
        dict(fingerprint="a", split="val", read="v", last=True, **shared),
        dict(fingerprint="b", split="train", read="t1", last=False, **shared),
        dict(fingerprint="b", split="train", read="t2", last=True, **shared),
    ]
    runs = [RowRun(name, 0, name, f"runs/{name}", "finished", 9, 9) for name in "ab"]
    found = Evidence.of(VAL, runs, pd.DataFrame(lines))
    assert found.elsewhere == {}
    assert found.absent("b")[0].startswith("evaluated on train, not on val: dupl eval runs/b")
