"""The test of two kinds of seeds: its rate on one kind, its power on two, and what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from dupl.report.tables.kinds import LEVEL, two_kinds


def shares(seeds: int, gap: float, spread: np.ndarray, columns: int = 400) -> float:
    """Share of columns of six rows that get the footnote, where half of the seeds are shifted by a gap."""
    rng = np.random.default_rng(seeds)
    made = rng.normal(size=(columns, 6, seeds)) + gap * rng.integers(0, 2, (columns, 6, seeds))
    return float(np.mean([two_kinds(list(column)) < LEVEL for column in made * spread[:, None]]))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", [np.ones(6), 10.0 ** np.arange(6)], ids=["equal", "unequal"])
def test_one_kind_is_found_to_be_two_in_one_of_twenty(seeds, spread):
    assert 0.02 < shares(seeds, 0.0, spread) < 0.09


def test_two_kinds_are_found():
    assert shares(5, 10.0, np.ones(6)) > 0.97
    assert shares(3, 20.0, np.ones(6)) > 0.75


def test_by_hand():
    assert two_kinds([[1.0, 1.01, 9.0, 9.02, 9.01]] * 3) < 0.001
    assert two_kinds([[1.0, 2.0, 3.0, 4.0, 5.0]] * 3) > 0.05
    assert two_kinds([[5.0, 5.0, 9.0, 9.0, 9.0]]) < 0.01, "a share of 0 has no logarithm"


def test_rows_that_cannot_show_two_kinds_are_left_out():
    assert two_kinds([]) is None
    assert two_kinds([[1.0], [1.0, 2.0], [3.0, 3.0, 3.0]]) is None
    assert two_kinds([[1.0, 2.0, 4.0], [7.0]]) == two_kinds([[1.0, 2.0, 4.0]])


def test_the_same_values_give_the_same_p():
    assert two_kinds([[1.0, 2.0, 4.0], [1, 5, 6, 9]]) == two_kinds([[1.0, 2.0, 4.0], [9, 6, 5, 1]])
