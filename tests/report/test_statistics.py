"""Means, intervals and corrections: against hand-made figures, naive references and simulated truth."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dupl.report.tables import counts as counts_module
from dupl.report.tables import statistics as statistics_module
from dupl.report.tables.behrens_fisher import ErrorPart, half_width, two_sided
from dupl.report.tables.counts import Counts, Metric
from dupl.report.tables.intervals import LABELS
from dupl.report.tables.statistics import (
    Draws,
    Summary,
    contrast,
    contrast_over_seeds,
    holm,
    marginal_weights,
    stars,
)
from dupl.runs.metrics import summarise
from dupl.runs.pixel_counts import PixelCounts
from dupl.runs.tallies import Tally

CLASSES = ("background", "cat", "cow", "dog", "emu")
MIOU = Metric("seg", "best", "mIoU")
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


def tallies(images: int = 12, seed: int = 0) -> dict[str, Tally]:
    """Two students' counts of small random masks; the last class is predicted, but never true."""
    rng = np.random.default_rng(seed)
    found = {f"{kind}/{who}": Tally(5) for kind in ("cam", "seg") for who in (1, 2, "mean")}
    for i in range(images):
        truth = rng.choice([0, rng.integers(1, 4), 255], (8, 8), p=[0.5, 0.4, 0.1]).astype(np.uint8)
        for name, tally in found.items():
            right = rng.random((8, 8)) < {"1": 0.6, "2": 0.7, "mean": 0.8}[name.split("/")[1]]
            tally.add(i, truth, np.where(right & (truth < 5), truth, rng.integers(0, 5, (8, 8))))
    return found


def frame_of(found: dict[str, Tally]) -> pd.DataFrame:
    """As per_image.csv."""
    rows = [
        (name, f"photo{i}", CLASSES[c], tp, fp, fn)
        for name, tally in found.items()
        for i, c, tp, fp, fn in np.concatenate(tally.per_image).tolist()
    ]
    return pd.DataFrame(rows, columns=["map", "image", "class", "TP", "FP", "FN"])


def pixels_of(found: dict[str, Tally]) -> PixelCounts:
    """The same as a store reads it."""
    return PixelCounts.of(frame_of(found))


def simulated(seed: int, images: int = 30, gain: float = 0.0, spread: float = 0.2) -> Counts:
    """One student's counts; the images are the same for all seeds, their recall is not."""
    shared, rng = np.random.default_rng(1), np.random.default_rng(seed + 100)
    label = shared.integers(1, 3, images)
    cells = np.zeros((images, 1, 3, 3))
    hit = np.clip(0.6 + gain + shared.normal(0, 0.1, images) + rng.normal(0, spread, images), 0, 1) * 100
    cells[np.arange(images), 0, label, 0], cells[np.arange(images), 0, label, 2] = hit, 100 - hit
    cells[:, 0, 0, 0], cells[:, 0, 0, 1] = 500, 100 - hit
    return Counts.dense(cells, CLASSES[:3])


class TestMetric:
    @pytest.mark.parametrize("name", [f"{k}/{w}/mIoU" for k in ("cam", "seg") for w in ("1", "2", "mean", "best")])
    def test_iou_is_that_of_evaluations(self, name):
        found = tallies()
        metric = Metric.parse(name)
        value = Counts.of(pixels_of(found), metric.maps(found)).value(metric)
        assert value == pytest.approx(summarise(found)[name], abs=1e-10)

    def test_subset_and_over_activation_are_those_of_evaluations(self):
        found = tallies()
        told = summarise(found, ("mIoU-3", [0, 2, 4]))
        for name in ("seg/2/mIoU-3", "seg/best/mIoU-3", "cam/1/OA", "seg/mean/OA"):
            metric = Metric.parse(name, {"mIoU-3": ["background", "cow", "emu"]})
            value = Counts.of(pixels_of(found), metric.maps(found)).value(metric)
            assert value == pytest.approx(told[name], abs=1e-10)

    def test_by_hand(self):
        totals = np.array([[[60, 20, 20], [10, 30, 0], [0, 5, 0]], [[80, 0, 20], [0, 0, 10], [0, 0, 0]]])
        iou = [(60 + 25) / 2, (80 + 0) / 2]  # the third class is not in the truth
        assert MIOU.of(totals, ["background", "a", "b"]) == pytest.approx(max(iou))
        rate = Metric("seg", "best", "OA").of(totals, ["background", "a", "b"])
        assert rate == pytest.approx((75 + 100) / 2)  # the other student predicts no foreground

    def test_what_does_not_follow_from_counts_is_none(self):
        assert Metric.parse("cls/1/mAP") is None
        assert Metric.parse("seg/best/mIoU-7") is None
        assert Metric.parse("iterations") is None

    def test_maps(self):
        known = ["seg/2", "cam/1", "seg/1", "seg/mean", "seg/1"]
        assert Metric.parse("seg/best/mIoU").maps(known) == ["seg/1", "seg/2"]
        assert Metric.parse("seg/mean/mIoU").maps(known) == ["seg/mean"]
        assert Metric.parse("cam/2/mIoU").maps(known) == []


class TestResampling:
    def test_each_resample_is_a_draw_with_replacement(self):
        found = Counts.of(pixels_of(tallies(images=3)), ["seg/1", "seg/2"])
        dense = found.table
        possible = {
            round(float(MIOU.of(dense[list(drawn)].sum(0).reshape(1, 2, -1, 3), found.classes)[0]), 9): drawn
            for drawn in itertools.combinations_with_replacement(range(3), 3)
        }
        values = np.round(found.resampled(MIOU, 6000, 0), 9)
        shares = {drawn: float((values == value).mean()) for value, drawn in possible.items()}
        assert sum(shares.values()) == pytest.approx(1)
        assert shares[0, 1, 2] == pytest.approx(6 / 27, abs=0.02)
        assert shares[0, 0, 1] == pytest.approx(3 / 27, abs=0.02)
        assert shares[2, 2, 2] == pytest.approx(1 / 27, abs=0.01)

    def test_left_out_is_the_metric_of_the_others(self):
        table = frame_of(tallies())
        found = Counts.of(PixelCounts.of(table), ["seg/1", "seg/2"])
        left = found.left_out(MIOU)
        for image, value in zip(found.images, left, strict=True):
            others = Counts.of(PixelCounts.of(table[table["image"] != image]), ["seg/1", "seg/2"])
            assert value == pytest.approx(others.value(MIOU), abs=1e-10)

    def test_blocks_change_nothing(self, monkeypatch):
        found = Counts.of(pixels_of(tallies()), ["seg/1", "seg/2"])
        drawn, left = found.resampled(MIOU, 50, 3), found.left_out(MIOU)
        monkeypatch.setattr(counts_module, "BLOCK", 70)
        assert np.array_equal(found.resampled(MIOU, 50, 3), drawn)
        assert np.array_equal(found.left_out(MIOU), left)

    def test_single_precision_of_small_counts_changes_nothing(self, monkeypatch):
        small = Counts.of(pixels_of(tallies()), ["seg/1", "seg/2"])
        assert small.table.dtype == np.float32
        monkeypatch.setattr(counts_module, "EXACT", 0)
        whole = Counts.of(pixels_of(tallies()), ["seg/1", "seg/2"])
        assert whole.table.dtype == np.float64
        assert np.array_equal(small.resampled(MIOU, 50, 3), whole.resampled(MIOU, 50, 3))
        assert np.array_equal(small.left_out(MIOU), whole.left_out(MIOU))
        assert small.value(MIOU) == whole.value(MIOU)

    def test_all_runs_draw_the_same_images(self):
        shift = Counts.dense(simulated(0).table.toarray().reshape(30, 1, 3, 3) * 7, CLASSES[:3])
        assert np.allclose(simulated(0).resampled(MIOU, 20, 0), shift.resampled(MIOU, 20, 0))


class TestSummary:
    def test_by_hand(self):
        found = Summary.of([1.0, 2.0, 6.0])
        assert (found.n, found.mean) == (3, 3.0)
        assert found.std == pytest.approx(7**0.5)
        assert Summary.of([4.0]) == Summary(1, 4.0, None)


class TestHolm:
    def test_by_hand(self):
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert holm([0.2, None, 0.6, 0.7]) == [pytest.approx(0.6), None, 1.0, 1.0]
        assert holm([None]) == [None] and holm([]) == []

    def test_stars(self):
        told = {None: "", 0.05: "", 0.049: "*", 0.01: "*", 0.009: "**", 0.001: "**", 0.0009: "***"}
        assert {p: stars(p, 5) for p in told} == told
        assert [stars(1e-9, seeds) for seeds in (1, 2, 3, 4, 5)] == ["", "", "**", "**", "***"]
        assert [stars(0.02, seeds) for seeds in (2, 3)] == ["", "*"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_is_between_the_plain_value_and_bonferroni_and_in_order(p):
    found = holm(p)
    for plain, corrected in zip(p, found, strict=True):
        assert plain <= corrected <= min(1, plain * len(p))
    order = np.argsort(p, kind="stable")
    assert all(found[a] <= found[b] for a, b in itertools.pairwise(order))


class TestMarginal:
    def test_full_factorial_is_a_difference_of_means(self):
        rows = [(), ("a",), ("b",), ("a", "b")]
        assert marginal_weights(rows, "a") == [-0.5, 0.5, -0.5, 0.5]
        assert marginal_weights(rows, "b") == [-0.5, -0.5, 0.5, 0.5]

    def test_rows_without_a_partner_do_not_count(self):
        rows = [(), ("a",), ("a", "b")]  # b needs a
        assert marginal_weights(rows, "a") == [-1, 1, 0]
        assert marginal_weights(rows, "b") == [0, -1, 1]

    def test_never_changed_alone(self):
        assert marginal_weights([(), ("a", "b")], "a") is None


def draws(gain: float = 0.0, seeds: int = 1, first: int = 0) -> dict[int, Draws]:
    """One row; its networks are others where `first` is."""
    return {s: Draws.of(simulated(s + first, gain=gain), MIOU, 400) for s in range(seeds)}


class TestContrast:
    def test_one_seed_by_the_textbook(self):
        one, other = draws()[0], draws(0.1, first=50)[0]
        found = contrast([{0: one}, {0: other}], [-1, 1])
        drawn, left = other.resampled - one.resampled, other.left_out - one.left_out
        n = len(left)
        variance = (drawn.var(ddof=1) * n / (n - 1) + (n - 1) / n * ((left - left.mean()) ** 2).sum()) / 2
        half = stats.t.ppf(0.975, n - 1) * variance**0.5
        assert found.value == pytest.approx(other.value - one.value)
        assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))
        assert found.p is None, "one seed tells nothing of others"
        assert (found.seeds, found.images, found.over) == (1, 30, "images")

    def test_standard_error_is_that_of_scipy(self):
        one, other = (simulated(s, images=80, gain=g).table.toarray() for s, g in ((0, 0.0), (50, 0.1)))

        def difference(index: np.ndarray) -> float:
            totals = np.stack([table[index].sum(0).reshape(1, 3, 3) for table in (one, other)])
            return float(np.diff(MIOU.of(totals, CLASSES[:3]))[0])

        reference = stats.bootstrap((np.arange(80),), difference, n_resamples=3000, vectorized=False, rng=0)
        rows = [{0: Draws.of(simulated(s, images=80, gain=g), MIOU, 3000)} for s, g in ((0, 0.0), (50, 0.1))]
        found = contrast(rows, [-1, 1])
        error = (found.high - found.value) / stats.t.ppf(0.975, 79)
        assert error == pytest.approx(reference.standard_error, rel=0.06)

    def test_images_without_variance_leave_students_t(self):
        cells = np.zeros((9, 1, 2, 3))
        cells[:, 0, :, 0], cells[:, 0, :, 2] = 50, 50
        rows = []
        for hits in ([50, 60, 52], [58, 64, 66]):
            row = {}
            for seed, hit in enumerate(hits):
                cells[:, 0, 1] = [hit, 0, 100 - hit]
                row[seed] = Draws.of(Counts.dense(cells, CLASSES[:2]), MIOU, 50)
            rows.append(row)
        found = contrast(rows, [-1, 1])
        gains = [4.0, 2.0, 7.0]  # half of the hits' gains: the background does not change
        told = stats.ttest_1samp(gains, 0)
        assert (found.low, found.high) == pytest.approx(tuple(told.confidence_interval(0.95)))
        assert found.p == pytest.approx(told.pvalue, rel=1e-6)
        plain = [{s: run.value for s, run in row.items()} for row in rows]
        assert contrast_over_seeds(plain, [-1, 1]).low == pytest.approx(found.low)
        assert contrast_over_seeds(plain, [-1, 1]).over == "seeds"

    def test_interval_and_p_agree(self):
        signs = set()
        for k in range(30):
            seeds = 1 + k % 5
            found = contrast([draws(seeds=seeds), draws(0.01 * k, seeds, first=50 + k)], [-1, 1])
            assert found.low < found.value < found.high
            assert (found.p is None) == (seeds < 3)
            if found.p is not None:
                assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
                signs.add(found.p < 0.05)
        assert signs == {True, False}

    def test_seeds_that_differ_widen_the_interval(self):
        one, other = draws(seeds=3), draws(0.1, seeds=3, first=50)
        far = {
            s: Draws(d.value + 30 * s, d.resampled + 30 * s, d.left_out + 30 * s, d.images) for s, d in other.items()
        }
        near, wide = contrast([one, other], [-1, 1]), contrast([one, far], [-1, 1])
        assert wide.high - wide.low > 3 * (near.high - near.low)
        assert wide.over == "seeds x images"

    def test_never_narrower_than_over_images_alone(self):
        def merged(row: dict[int, Draws]) -> dict[int, Draws]:
            """One run whose metric is the mean of the row's."""
            facts = [
                np.mean([getattr(run, key) for run in row.values()], 0) for key in ("value", "resampled", "left_out")
            ]
            return {0: Draws(float(facts[0]), facts[1], facts[2], row[0].images)}

        one = draws(seeds=3)
        for k in range(12):
            other = draws(0.1, seeds=3, first=50 + 3 * k)
            even = {s: Draws(one[s].value + 5, run.resampled, run.left_out, run.images) for s, run in other.items()}
            alone = contrast([merged(one), merged(even)], [-1, 1])
            lucky, usual = contrast([one, even], [-1, 1]), contrast([one, other], [-1, 1])
            assert (lucky.low, lucky.high) == pytest.approx((alone.low, alone.high)), "all seeds differ by the same"
            assert (lucky.over, lucky.p) == ("images", None)
            assert usual.high - usual.low >= (1 - 1e-9) * (alone.high - alone.low)

    def test_agreeing_seeds_leave_the_missing_variance_to_the_images(self):
        one, other = draws(seeds=3), draws(0.1, seeds=3, first=50)
        gains = (5.0, 5.1, 5.3)
        near = {s: Draws(one[s].value + gains[s], d.resampled, d.left_out, d.images) for s, d in other.items()}
        drawn, left = (
            np.array([getattr(other[s], what) - getattr(one[s], what) for s in range(3)])
            for what in ("resampled", "left_out")
        )
        alone = ((np.cov(drawn) * 30 / 29 + np.cov(left) * 29**2 / 30) / 2).mean()
        own = np.var(gains, ddof=1) / 3
        parts = (ErrorPart(own**0.5, 2), ErrorPart((alone - own) ** 0.5, 29))
        found = contrast([one, near], [-1, 1])
        assert found.values == pytest.approx(gains)
        assert found.high - found.value == pytest.approx(half_width(0.05, parts))
        assert found.p == pytest.approx(two_sided(found.value, parts))

    def test_the_same_runs_do_not_differ(self):
        row = draws(seeds=2)
        found = contrast([row, row], [-1, 1])
        assert (found.value, found.low, found.high, found.p, found.over) == (0, 0, 0, None, "images")

    def test_only_shared_seeds_count(self):
        one, other = draws(seeds=3), draws(0.1, seeds=3, first=50)
        part = {s: run for s, run in other.items() if s > 0}
        assert contrast([one, part], [-1, 1]) == contrast([{1: one[1], 2: one[2]}, part], [-1, 1])
        assert contrast([{0: one[0]}, part], [-1, 1]) is None
        assert contrast_over_seeds([{0: 1.0, 1: 2.0}, {1: 3.0}], [-1, 1]) is None

    def test_nothing_is_told_of_what_is_not_defined(self):
        found = Draws.of(simulated(0), Metric("seg", "best", "OA"), 50)
        blank = Draws(np.nan, found.resampled * np.nan, found.left_out * np.nan, found.images)
        assert contrast([{0: found}, {0: blank}], [-1, 1]) is None

    def test_two_seeds_by_hand(self):
        one, other = draws(seeds=2), draws(0.1, seeds=2, first=50)
        other = {
            s: Draws(d.value + 12 * s, d.resampled + 12 * s, d.left_out + 12 * s, d.images) for s, d in other.items()
        }
        value, drawn, left = (
            np.array([getattr(other[s], what) - getattr(one[s], what) for s in (0, 1)])
            for what in ("value", "resampled", "left_out")
        )
        covariance = (np.cov(drawn) * 30 / 29 + np.cov(left) * 29**2 / 30) / 2
        between, images = value.var(ddof=1) / 2, covariance[0, 1]
        variance = between + images
        assert variance > covariance.mean() and images > 0
        found = contrast([one, other], [-1, 1])
        half = half_width(0.05, (ErrorPart(between**0.5, 1), ErrorPart(images**0.5, 29)))
        assert (found.value, found.high - found.value) == pytest.approx((value.mean(), half))
        assert (found.p, found.seeds, found.over) == (None, 2, "seeds x images")

    def test_the_level_is_that_of_the_interval(self):
        one, other = draws()[0], draws(0.1, first=50)[0]
        rows = [{0: one}, {0: other}]
        usual, tight = contrast(rows, [-1, 1]), contrast(rows, [-1, 1], level=0.8)
        ratio = stats.t.ppf(0.9, 29) / stats.t.ppf(0.975, 29)
        assert (tight.high - tight.low) / (usual.high - usual.low) == pytest.approx(ratio)
        assert (tight.value, tight.p) == (usual.value, usual.p)
        gains = [4.0, 2.0, 7.0]
        found = contrast_over_seeds(
            [dict.fromkeys(range(3), 1.0), {s: 1 + g for s, g in enumerate(gains)}], [-1, 1], 0.8
        )
        assert (found.low, found.high) == pytest.approx(tuple(stats.ttest_1samp(gains, 0).confidence_interval(0.8)))
        assert (found.seeds, found.images) == (3, 0)

    def test_a_difference_that_nothing_varies_says_nothing_of_other_seeds(self):
        row = draws(seeds=5)
        shifted = {s: Draws(d.value + 5, d.resampled + 5, d.left_out + 5, d.images) for s, d in row.items()}
        found = contrast([row, shifted], [-1, 1])
        assert (found.value, found.low, found.high) == pytest.approx((5, 5, 5))
        assert (found.p, found.over, found.seeds) == (None, "images", 5)

    def test_seeds_that_differ_by_the_same_say_nothing_of_others(self):
        assert contrast_over_seeds([{0: 70.0, 1: 64.0}, {0: 71.0, 1: 65.0}], [-1, 1]) is None
        same = contrast_over_seeds([{0: 70.0, 1: 64.0}, {0: 70.0, 1: 64.0}], [-1, 1])
        assert (same.value, same.low, same.high, same.p) == (0, 0, 0, None)

    def test_p_is_never_below_that_of_the_seeds_alone(self):
        one, gains = draws(seeds=3), (50.0, 50.1, 50.2)
        far = {
            s: Draws(d.value + gains[s], d.resampled + gains[s], d.left_out + gains[s], d.images)
            for s, d in one.items()
        }
        assert contrast([one, far], [-1, 1]).p == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)
        other = draws(0.3, seeds=3, first=50)
        found = contrast([one, other], [-1, 1])
        assert found.p > stats.ttest_1samp(found.values, 0).pvalue > 0

    def test_how_much_has_to_be_defined(self):
        """Half of the resamples, and two images."""
        one, other = (dict(value=v, resampled=np.arange(8.0) * v, left_out=np.arange(6.0) * v) for v in (1.0, 2.0))

        def found(resamples: int, images: int):
            rows = []
            for facts in (one, other):
                resampled, left = facts["resampled"].copy(), facts["left_out"].copy()
                resampled[resamples:], left[images:] = np.nan, np.nan
                rows.append({0: Draws(facts["value"], resampled, left, tuple("abcdef"))})
            return contrast(rows, [-1, 1])

        assert found(4, 6) is not None and found(3, 6) is None
        assert found(8, 2) is not None and found(8, 1) is None

    def test_weights_are_one_for_each_row(self):
        with pytest.raises(ValueError, match="zip"):
            contrast([draws(), draws()], [-1, 1, 0])
        with pytest.raises(ValueError, match="zip"):
            contrast_over_seeds([{0: 1.0, 1: 2.0}] * 2, [-1, 1, 0])

    def test_other_images_are_refused(self):
        other = Draws.of(simulated(0, images=29), MIOU, 50)
        with pytest.raises(ValueError, match="different images"):
            contrast([draws(), {0: other}], [-1, 1])


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_of_coverage", BENCHMARK)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(BENCHMARK.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARK.parent))
    return module


@pytest.fixture(scope="module")
def rates(benchmark):
    return sys.modules["rates"]


class TestRates:
    """False positives and power of tables with normal seeds, over the grid of the benchmark."""

    TABLES = 20_000

    @pytest.mark.parametrize("seeds", [3, 5])
    def test_p_values_are_as_rare_as_they_say(self, rates, seeds):
        for setting in rates.settings(seeds):
            found = rates.rates(rates.table_rule, setting, self.TABLES)
            assert found.small[0] <= 2 * 5 and found.small[1] <= 2 * 1 and found.small[2] <= 3 * 0.1, setting
            assert found.family <= 7, setting

    @pytest.mark.parametrize("wide", [1.0, 10.0])
    def test_power_of_five_seeds(self, rates, wide):
        assert rates.power(rates.table_rule, rates.Setting(5, float("inf"), wide), self.TABLES) >= 85

    def test_rules_that_were_not_taken_break_a_limit(self, rates):
        wide = rates.Setting(3, float("inf"), 10.0)
        assert rates.rates(rates.pooled, wide, self.TABLES).small[2] > 10
        assert rates.rates(rates.moderated, wide, self.TABLES).small[2] > 3
        assert rates.rates(rates.welch, rates.Setting(3, 30.0), self.TABLES).small[2] > 0.9

    @pytest.mark.parametrize("ratio", [0.0, 1.0, 30.0])
    def test_the_simulated_rule_is_that_of_tables(self, rates, ratio):
        made = rates.draw(rates.Setting(3, ratio), 40, np.random.default_rng(5), change=3.0)
        decided = {alpha: rates.table_rule(made, alpha) for alpha in (0.2, 0.05, 0.01)}
        for place in np.ndindex(made.mean.shape):
            mean, own, shared, alone = (float(part[place]) for part in (made.mean, made.own, made.shared, made.alone))
            values = mean + (3 * own) ** 0.5 * np.array([-1.0, 0.0, 1.0])
            covariance = np.full((3, 3), shared) + 3 * (alone - shared) * np.eye(3)
            found = statistics_module.estimate_change(values, covariance, rates.IMAGES, 0.95)
            for alpha, below in decided.items():
                assert (found.p < alpha) == below[place] or found.p == pytest.approx(alpha, rel=1e-3)

    def test_two_kinds_of_seeds(self, rates):
        """All three are of one kind in a quarter of rows, all five in a sixteenth."""
        found = [
            rates.rates(rates.own_t, rates.Setting(seeds, float("inf")), self.TABLES, gap=20.0) for seeds in (3, 5)
        ]
        assert found[0].small[0] == pytest.approx(25, abs=1) and found[1].small[0] == pytest.approx(6.25, abs=0.5)


class TestCoverage:
    """The benchmark in small: as many intervals contain the truth as 95 % allow, in 999 of 1000 such tests."""

    EXPERIMENTS = 240

    @pytest.mark.parametrize(
        "facts",
        [
            dict(name="one seed", images=60, classes=6),
            dict(name="rare classes", images=60, classes=12, skew=1.0, students=1),
            dict(name="three seeds", images=60, classes=6, seeds=3, spread=0.3),
        ],
        ids=lambda facts: facts["name"],
    )
    def test_intervals_contain_the_truth(self, benchmark, facts):
        names = ("behrens-fisher", "percentile")
        found = benchmark.run(benchmark.Case(**facts), self.EXPERIMENTS, 150, intervals=names)
        got, plain = (found[name]["coverage"] for name in names)
        low, high = stats.binom.interval(0.999, self.EXPERIMENTS, 0.95)
        assert 100 * low / self.EXPERIMENTS <= got <= 100 * high / self.EXPERIMENTS
        if facts.get("seeds"):
            assert plain < 100 * low / self.EXPERIMENTS  # what a bootstrap of three seeds alone would do

    def test_every_interval_is_covered_by_its_name(self, benchmark):
        pytest.importorskip("statsmodels")
        got = benchmark.run(benchmark.Case("two seeds", 40, 4, seeds=2, spread=0.1), 3, 60, intervals=tuple(LABELS))
        assert list(got) == list(LABELS) and all(found["width"] > 0 for found in got.values())
        one = benchmark.run(benchmark.Case("one seed", 40, 4), 3, 60, intervals=tuple(LABELS))
        assert list(one) == [name for name in LABELS if name != "mixed-model"], "which cannot tell"
