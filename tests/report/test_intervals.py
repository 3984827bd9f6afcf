"""Intervals by the name of their method."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import dupl
from dupl.cli import main
from dupl.errors import UserError
from dupl.report.tables.intervals import (
    DEFAULT,
    LABELS,
    Changes,
    acceleration_of,
    bca,
    check_interval,
    mixed_model,
    percentile,
    pseudo_values,
    satterthwaite,
)
from dupl.report.tables.statistics import Variances, contrast_over_seeds, estimate_change

FIXTURES = Path(__file__).parents[1] / "fixtures"


def sample(values: np.ndarray) -> Changes:
    """One seed whose metric is the mean of values of images, with a bootstrap of scipy."""
    drawn = stats.bootstrap((values,), np.mean, n_resamples=2000, rng=3).bootstrap_distribution[None]
    left = ((values.sum() - values) / (len(values) - 1))[None]
    return Changes(np.array([values.mean()]), drawn, left, 0.0, values.var(ddof=1) / len(values), len(values))


class TestBootstrap:
    VALUES = np.random.default_rng(1).exponential(size=40)

    @pytest.mark.parametrize("method, ours", [("percentile", percentile), ("BCa", bca)])
    def test_one_seed_is_that_of_scipy(self, method, ours):
        reference = stats.bootstrap((self.VALUES,), np.mean, n_resamples=2000, rng=3, method=method)
        assert ours(sample(self.VALUES), 0.95) == pytest.approx(tuple(reference.confidence_interval))

    def test_bca_leans_to_the_long_tail(self):
        plain, corrected = percentile(sample(self.VALUES), 0.95), bca(sample(self.VALUES), 0.95)
        assert corrected[0] > plain[0] and corrected[1] > plain[1]

    def test_acceleration_by_hand(self):
        # seeds: influences -1, -1, 2: cubes 6 / 27, squares 6 / 9; images: 3 (mean - left): squares 18 / 16
        changes = Changes(np.array([0.0, 0, 3]), None, np.array([[2.0, 1, 1, 0]] * 3), 0, 0, 4)
        assert acceleration_of(changes) == pytest.approx(6 / 27 / (6 * (6 / 9 + 18 / 16) ** 1.5))

    def test_seeds_alone_are_drawn_where_images_are_not_known(self):
        found = contrast_over_seeds([{0: 1.0, 1: 2, 2: 3}, {0: 2.0, 1: 4, 2: 6}], [-1, 1], interval="percentile")
        assert (found.low, found.high, found.interval) == (1.0, 3.0, "percentile")
        assert found.p == contrast_over_seeds([{0: 1.0, 1: 2, 2: 3}, {0: 2.0, 1: 4, 2: 6}], [-1, 1]).p

    def test_draws_on_one_side_have_no_infinite_correction(self):
        drawn = np.linspace(1, 2, 50)[None]
        changes = Changes(np.array([0.5]), drawn, np.array([[1.0, 2.0]]), 0, 1, 2)
        assert bca(changes, 0.9) == percentile(changes, 0.9) == pytest.approx((1.05, 1.95))


class TestSatterthwaite:
    def test_by_hand(self):
        changes = Changes(np.array([1.0, 2.0, 6.0]), None, None, 4.0, 1.0, 10)
        half = stats.t.ppf(0.975, 25 / (16 / 2 + 1 / 9)) * 5**0.5
        assert satterthwaite(changes, 0.95) == pytest.approx((3 - half, 3 + half))

    def test_without_variance_there_is_none(self):
        assert satterthwaite(Changes(np.array([1.0]), None, None, 0.0, 0.0, 0), 0.95) is None


class TestMixedModel:
    def changes(self) -> Changes:
        pytest.importorskip("statsmodels")
        rng = np.random.default_rng(4)
        data = 2 + rng.normal(size=(5, 1)) + rng.normal(size=(1, 30)) + rng.normal(size=(5, 30))
        left = (data.sum(1, keepdims=True) - data) / 29  # so that the pseudo-values are the data
        return Changes(data.mean(1), None, left, 0, 0, 30)

    def test_reml_of_a_balanced_design_is_its_analysis_of_variance(self):
        changes = self.changes()
        data = pseudo_values(changes)
        assert data.shape == (5, 30)
        rest = data - data.mean(1, keepdims=True) - data.mean(0) + data.mean()
        seeds, images = 30 * data.mean(1).var(ddof=1), 5 * data.mean(0).var(ddof=1)
        error = ((seeds + images - (rest**2).sum() / (4 * 29)) / 150) ** 0.5
        low, high = mixed_model(changes, 0.95)
        assert (low + high) / 2 == pytest.approx(changes.values.mean())
        assert (high - low) / 2 == pytest.approx(stats.norm.ppf(0.975) * error, rel=1e-3)

    def test_many_images_are_groups(self):
        left = np.random.default_rng(0).normal(size=(2, 1000))
        made = pseudo_values(Changes(left.mean(1), None, left, 0, 0, 1000))
        assert made.shape == (2, 40)
        assert made.mean(1) == pytest.approx(left.mean(1), abs=1e-9), "the groups are of one size"

    def test_it_needs_two_seeds_and_images(self):
        pytest.importorskip("statsmodels")
        assert mixed_model(Changes(np.array([1.0]), None, np.ones((1, 9)), 0, 0, 9), 0.95) is None
        assert mixed_model(Changes(np.array([1.0, 2.0]), None, None, 0, 0, 0), 0.95) is None

    def test_without_statsmodels_there_is_a_line(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "statsmodels", None)
        with pytest.raises(
            UserError, match=r'^interval mixed-model needs statsmodels: pip install "dupl-lab\[mixed\]"$'
        ):
            check_interval("mixed-model")


class TestVariances:
    def test_of_a_covariance_by_hand(self):
        covariance = np.array([[4.0, 1], [1, 6]])
        found = estimate_change(np.array([1.0, 5.0]), covariance, 50)
        assert found.variances == Variances(seeds=8.0, shared=1.0, single=5.0)

    def test_one_seed_has_those_of_images_alone(self):
        assert estimate_change(np.array([1.0]), np.array([[4.0]]), 50).variances == Variances(None, 4.0, 4.0)


class TestTable:
    WHERE = (str(FIXTURES / "plan.py"), "--root", str(FIXTURES / "store"))

    @pytest.mark.parametrize("name", [name for name in LABELS if name != DEFAULT])
    def test_every_interval_names_its_method(self, name):
        if name == "mixed-model":
            pytest.importorskip("statsmodels")
        made = dupl.ablation_table(FIXTURES / "plan.py", FIXTURES / "store", interval=name)
        usual = dupl.ablation_table(FIXTURES / "plan.py", FIXTURES / "store")
        for key, cell in made.table.cells.items():
            own = usual.table.cells[key]
            if cell.step is not None:
                assert cell.step.estimate.values == own.step.estimate.values and cell.step.p == own.step.p
                assert (cell.step.estimate.low, cell.step.estimate.high) != (
                    own.step.estimate.low,
                    own.step.estimate.high,
                )
        text = made.render("md")
        assert f"ours, 95 % interval ({LABELS[name]})" in text
        assert f"- change: 95 % interval over seeds x images, by {LABELS[name]}\n" in text
        assert "p values and stars are of Behrens and Fisher" in text
        assert f"--interval {name}" in made.table.provenance["command"]
        found = {line["ci_method"] for line in csv.DictReader(io.StringIO(made.render("csv"))) if line["ci_low"]}
        assert found == {name}
        assert "by Behrens and Fisher\n" in usual.render("md")

    def test_one_seed_has_no_mixed_model(self):
        pytest.importorskip("statsmodels")
        made = dupl.ablation_table(FIXTURES / "plan.py", FIXTURES / "store", seeds=[0], interval="mixed-model")
        step = made.table.cells["L_dis", "M"].step
        assert step.estimate is None and step.change is not None
        assert step.note == "no interval: mixed model needs pixels per image of two seeds"

    def test_an_unknown_one_is_a_line(self, capsys):
        assert main(["report", *self.WHERE, "--interval", "wald"]) == 2
        line = "dupl: interval is 'wald': give one of behrens-fisher, percentile, bca, satterthwaite, mixed-model\n"
        assert capsys.readouterr().err == line
