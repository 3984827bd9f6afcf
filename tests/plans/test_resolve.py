"""Runs of a plan where the data are not here: the store's runs say on which data they were trained."""

import pytest

from dupl.errors import UserError
from dupl.plans.plan import PlannedRun
from dupl.plans.resolve import resolve

A, B = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def planned(row, fingerprint, absent="", root="x", split="train", weights=None):
    train = {"type": "TaggedFolder", "root": root, "split": split}
    values = {"data": {"train": train}, "model": {"backbone": {"weights": weights}}, "runtime": {"seed": 0}}
    return PlannedRun("plan", row, 0, values, fingerprint, "recipe", {}, absent)


def ids(runs, stored, data=None):
    return [run.fingerprint for run in resolve(runs, stored, data)]


def test_data_that_are_here_decide():
    assert ids([planned("a", f"{A}-11111111")], [f"{A}-22222222"]) == [f"{A}-11111111"]


def test_of_absent_data_the_store_says_which():
    runs = [planned("a", A, "gone"), planned("b", B, "gone")]
    assert ids(runs, [f"{A}-11111111"]) == [f"{A}-11111111", f"{B}-11111111"]
    assert ids(runs, []) == [A, B]


def test_several_are_refused_unless_one_is_named():
    runs = [planned("a", A, "there is no folder x"), planned("b", B, "there is no folder x")]
    stored = [f"{A}-11111111", f"{B}-22222222", "cccccccccccc-33333333"]
    with pytest.raises(UserError, match=r"11111111, 22222222, .*\(there is no folder x\): name one by --data"):
        resolve(runs, stored)
    assert ids(runs, stored, "22222222") == [f"{A}-22222222", f"{B}-22222222"]


def test_rows_of_other_sets_have_their_own():
    runs = [planned("a", A, "gone"), planned("b", B, "gone", split="half")]
    assert ids(runs, [f"{A}-11111111", f"{B}-22222222"]) == [f"{A}-11111111", f"{B}-22222222"]


def test_data_that_are_here_can_be_named_too():
    assert ids([planned("a", f"{A}-11111111")], [f"{A}-22222222"], "22222222") == [f"{A}-22222222"]


def test_rows_that_differ_only_in_files_that_are_not_here():
    runs = [planned("a", A, "gone", weights="1.bin"), planned("b", A, "gone", weights="2.bin")]
    with pytest.raises(UserError, match="rows a and b of plan differ only in files, which are not here"):
        resolve(runs, [])
