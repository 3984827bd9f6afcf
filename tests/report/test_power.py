"""What a table can show, before it is computed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from scipy import stats

import dupl
from dupl.cli import main
from dupl.errors import UserError
from dupl.report.power_forecast import ColumnForecast, forecast, lines
from dupl.report.tables.power import Spread, probability, seeds_needed, smallest_change, typical_spread
from dupl.report.tables.statistics import estimate_change
from dupl.runs.store import RunStore

FIXTURES = Path(__file__).parents[1] / "fixtures"
WHERE = [str(FIXTURES / "plan.py"), "--root", str(FIXTURES / "store")]
SEEDS_ALONE = Spread(1.0, 0.0)


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/power.py"
    spec = importlib.util.spec_from_file_location("bench_power", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_power"] = module
    spec.loader.exec_module(module)
    return module


def noncentral(seeds: int, change: float, alpha: float) -> float:
    """Power of Student's t of one sample by the textbook."""
    limit, shift = stats.t.ppf(1 - alpha / 2, seeds - 1), change * seeds**0.5
    return float(stats.nct.sf(limit, seeds - 1, shift) + stats.nct.cdf(-limit, seeds - 1, shift))


class TestProbability:
    @pytest.mark.parametrize("seeds", [3, 5, 10])
    @pytest.mark.parametrize("alpha", [0.05, 0.01])
    def test_of_seeds_alone_is_that_of_students_t(self, seeds, alpha):
        for change in (0.0, 1.0, 2.0):
            assert probability(SEEDS_ALONE, seeds, change, alpha) == pytest.approx(
                noncentral(seeds, change, alpha), abs=2e-3
            )

    def test_below_three_seeds_nothing_is_shown(self):
        assert probability(SEEDS_ALONE, 2, 1e6) == 0 and smallest_change(SEEDS_ALONE, 2) is None

    def test_the_sign_makes_no_difference(self):
        assert probability(Spread(1.0, 0.4), 5, -2.0) == probability(Spread(1.0, 0.4), 5, 2.0)

    def test_images_hide_a_change(self):
        found = [probability(Spread(1.0, images), 5, 2.0) for images in (0.0, 0.5, 1.0, 2.0)]
        assert found == sorted(found, reverse=True) and found[-1] < 0.2 < 0.9 < found[0]

    def test_many_seeds_leave_the_images(self):
        # with 100 seeds the error is next to that of the images alone: normal, 0.5
        assert probability(Spread(0.01, 0.5, count=10**6), 100, 1.0) == pytest.approx(
            stats.norm.sf(1.96 - 2) + stats.norm.cdf(-1.96 - 2), abs=2e-3
        )


class TestNeeds:
    def test_smallest_change_has_the_probability(self):
        for seeds, alpha in ((3, 0.05), (5, 0.01)):
            change = smallest_change(Spread(1.5, 0.4), seeds, alpha, 0.8)
            assert probability(Spread(1.5, 0.4), seeds, change, alpha) == pytest.approx(0.8, abs=1e-4)
        assert noncentral(5, smallest_change(SEEDS_ALONE, 5), 0.05) == pytest.approx(0.8, abs=2e-3)

    def test_fewest_seeds_by_the_textbook(self):
        enough = next(n for n in range(3, 100) if noncentral(n, 1.0, 0.05) >= 0.8)
        assert seeds_needed(SEEDS_ALONE, 1.0) == enough == 10
        assert seeds_needed(SEEDS_ALONE, 50.0) == 3

    def test_no_number_of_seeds_shows_what_images_hide(self):
        assert seeds_needed(Spread(0.1, 1.0), 2.0) is None
        assert seeds_needed(SEEDS_ALONE, 0.05) is None, "over a hundred"

    @pytest.mark.parametrize("text", ["1.8", "a,b", "1,2,3", "0,1", "1,-1", "nan,1"])
    def test_a_spread_that_is_none_is_refused(self, text):
        with pytest.raises(UserError, match="^--spread "):
            Spread.parse(text)
        assert Spread.parse("1.8,0.9") == Spread(1.8, 0.9)


class TestSimulation:
    """The benchmark in small: frequencies lie where 999 of 1000 simulations of the forecast would."""

    @pytest.mark.parametrize("facts", [(3, 0.0, 0.0, 0.8), (5, 0.3, 0.4, 0.5)], ids=["3 seeds", "5 seeds, images"])
    def test_forecasts_are_frequencies(self, benchmark, facts, monkeypatch):
        monkeypatch.setattr(benchmark, "CHANGES", 2)
        got = benchmark.compare(benchmark.Setting(*facts), 300, 0)
        for told, frequency in (("forecast", "frequency"), ("forecast after Holm", "frequency after Holm")):
            low, high = stats.binom.interval(0.999, 300, got[told] / 100)
            assert low <= 3 * got[frequency] <= high, told
        low, _ = stats.binom.interval(0.999, 300, 0.95)
        assert 3 * got["coverage"] >= low


def test_the_typical_spread_is_no_more_often_too_low_than_too_high():
    covariance = np.full((3, 3), 0.1) + 0.2 * np.eye(3)
    drawn = np.random.default_rng(0).normal(0, 2.0, (400, 5, 3))
    found = [typical_spread([estimate_change(values, covariance, 50) for values in five]) for five in drawn]
    low, high = stats.binom.interval(0.999, 400, 0.5)
    assert low <= sum(one.seeds < 2.0 for one in found) <= high
    one = typical_spread([estimate_change(np.array([0.0, 2.0]), None, 0)])
    assert one.seeds == pytest.approx((2 / 0.4549364) ** 0.5) and one.images == 0


class TestStore:
    def values(self, row: str, metric: str) -> list[float]:
        files = (FIXTURES / f"store/{row}-{seed}/evaluation/iter_000090/metrics.json" for seed in (0, 1))
        return [json.loads(file.read_text())["metrics"][metric] for file in files]

    def test_the_spread_is_that_of_the_plans_changes(self):
        one, _ = dupl.forecast_power(FIXTURES / "plan.py", FIXTURES / "store", seeds=5)
        rows = [np.array(self.values(row, f"cam/{who}/mIoU")) for row, who in ROWS]
        variances = [np.var(b - a, ddof=1) for a, b in zip(rows, rows[1:], strict=False)]
        assert one.spread.seeds == pytest.approx((np.median(variances) / stats.chi2.median(1)) ** 0.5)
        assert one.spread.count == 12 and 0 < one.spread.images <= one.spread.single
        assert one.source == "2 changes of this plan's runs"
        assert [(need.label, round(need.change, 1)) for need in one.needs] == [
            ("+ DS + L_dis", 4.1),
            ("+ DTA + ANF + L_reg", 6.2),
        ]

    def test_label_maps_do_not_vary_over_seeds(self):
        plan, store = dupl.load_plan(FIXTURES / "plan.py"), RunStore(FIXTURES / "store")
        planned = plan.expand()
        runs = [replace(run, masks="other") if run.row == "L_dis" else run for run in planned]
        whole, without = (forecast(plan, some, store, store.runs())[0].source for some in (planned, runs))
        assert whole == "2 changes of this plan's runs"
        assert "this plan's" not in without, "both changes have the label maps on one side"

    def other(self, tmp_path: Path, text: str = "") -> Path:
        plan = (FIXTURES / "plan.py").read_text().replace("../../ablations", str(FIXTURES.parents[1] / "ablations"))
        file = tmp_path / "other.py"
        file.write_text(plan.replace('"evaluation.interval": 15,', f'"evaluation.interval": 15, {text}'))
        return file

    def test_runs_of_other_plans_on_the_same_data_serve(self, tmp_path):
        one, _ = dupl.forecast_power(self.other(tmp_path, '"schedule.lr": 1e-3,'), FIXTURES / "store")
        assert one.source == "3 changes between other runs on these data" and one.spread.seeds > 0

    def test_runs_on_other_data_say_nothing(self, tmp_path):
        found = dupl.forecast_power(self.other(tmp_path, '"data.val.seed": 5,'), FIXTURES / "store")
        assert {one.spread for one in found} == {None}
        (line,) = lines(found)
        assert line == (
            "power: not known: no two rows of finished runs on these data share two seeds: give --spread SEEDS,IMAGES"
        )

    def test_lost_counts_leave_the_spread_of_seeds(self, tmp_path):
        shutil.copytree(FIXTURES / "store", tmp_path / "store")
        for file in (tmp_path / "store").rglob("per_image.csv"):
            file.unlink()
        one, _ = dupl.forecast_power(FIXTURES / "plan.py", tmp_path / "store")
        assert one.spread.seeds > 0 and one.spread.images == 0


ROWS = (("baseline", "best"), ("L_dis", "best"), ("L_reg", "best"))


class TestCommands:
    def test_a_dry_run_says_it(self, capsys):
        assert main(["ablate", *WHERE, "--dry-run", "--seeds", "0", "1", "2", "--spread", "1,0"]) == 0
        found = capsys.readouterr().out.splitlines()
        place = next(k for k, line in enumerate(found) if line.startswith("power: "))
        smallest, strict = (smallest_change(SEEDS_ALONE, 3, alpha) for alpha in (0.05, 0.025))
        assert found[place].endswith("at the strictest step of Holm's correction over 2 changes")
        assert found[place + 1 : place + 4] == [
            "    M: a change varies by 1.0 points over seeds, 0.0 over images (as given)",
            f"        3 seeds: {smallest:.1f} points ({strict:.1f})",
            "        the paper's + DS + L_dis, +4.1: 3 (4) seeds; "
            f"probability with 3 seeds {100 * noncentral(3, 4.1, 0.05):.0f} %",
        ]

    def test_a_dry_run_of_two_seeds_shows_nothing(self, capsys):
        assert main(["ablate", *WHERE, "--dry-run"]) == 0
        assert "        2 seeds: none, as there is no p value below 3 seeds\n" in capsys.readouterr().out

    def test_a_table_and_a_chart(self, capsys, tmp_path):
        words = ["power", "--spread", "1,0", "--difference", "2", "--seeds", "2", "5", "--changes", "5"]
        assert main([*words, "--out", str(tmp_path / "power.png")]) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        sizes = [f"{smallest_change(SEEDS_ALONE, 5, alpha):.1f}" for alpha in (0.05, 0.01)]
        assert ["2", "–", "–", "0", "%"] in rows and ["5", *sizes, "91", "%"] in rows
        assert ["needed", "5"] in rows and ["Holm", str(seeds_needed(SEEDS_ALONE, 2.0, 0.01))] in rows
        with Image.open(tmp_path / "power.png") as picture:
            assert picture.size[0] > 500
        svg = dupl.api.write_power_chart(dupl.forecast_power(spread=(1, 0), differences=[2]), tmp_path / "power.svg")
        assert (
            svg.read_bytes()
            == dupl.api.write_power_chart(
                dupl.forecast_power(spread=(1, 0), differences=[2]), tmp_path / "again.svg"
            ).read_bytes()
        )

    def test_json(self, capsys):
        assert main(["power", *WHERE, "--spread", "1,0", "--seeds", "3", "5", "--json"]) == 0
        first, _ = json.loads(capsys.readouterr().out)
        assert [one["seeds"] for one in first] == [3, 5]
        assert first[1]["smallest"] == pytest.approx(smallest_change(SEEDS_ALONE, 5))

    @pytest.mark.parametrize(
        "words, line",
        [
            (["power"], "dupl: a forecast needs a plan or a spread: dupl power PLAN, or --spread SEEDS,IMAGES"),
            (
                ["power", "--spread", "1"],
                "dupl: --spread 1: write SEEDS,IMAGES in points of the metric",
            ),
            (["power", "--spread", "1,0", "--seeds", "0"], "dupl: --seeds 0: give numbers of seeds from 1 on"),
            (["power", "--spread", "1,0", "--power", "2"], "dupl: a forecast needs a power between 0 and 1, "),
            (["ablate", WHERE[0], "--spread", "1,0"], "dupl: --spread belongs to --dry-run, without --json; "),
        ],
    )
    def test_mistakes_are_lines(self, capsys, words, line):
        assert main(words) == 2
        assert capsys.readouterr().err.startswith(line)

    def test_a_plan_without_changes_says_nothing(self):
        assert lines([ColumnForecast.of("M", SEEDS_ALONE, "as given", 3, 0)]) == []
