"""Compare the forecast of power with simulated studies, whose p values the tables' own estimator computes.

    python benchmarks/power.py [--studies 1000] [--settings 3 4]      # numbers of settings; all by default

Prints a Markdown table. A study is a table of five changes with normal seeds and images, as in ``rates.py``; one change
has a true value, the others have none. "Forecast" is `dupl.report.tables.power.probability`, "frequency" the share of
studies in which the change gets p < 0.05, before Holm and after it; "coverage" is that of its 95 % interval. "From a
pilot" is the forecast from the spread of five changes of an earlier study with three seeds: its mean, and the
range of the middle 80 % of pilots.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dupl.report.tables.power import ALPHA, Spread, probability, smallest_change, typical_spread
from dupl.report.tables.statistics import estimate_change, holm

CHANGES = 5


class Setting(NamedTuple):
    """A kind of study.

    Attributes:
        seeds: Of each row.
        images: Standard error of a change over images, shared by the seeds, beside a spread of 1 over seeds.
        single: The same of one seed.
        power: Forecast for the change that is simulated.
    """

    seeds: int
    images: float
    single: float
    power: float

    @property
    def spread(self) -> Spread:
        """As a forecast takes it."""
        return Spread(1.0, self.images, self.single, count=200)

    @property
    def change(self) -> float:
        """The true change."""
        found = smallest_change(self.spread, self.seeds, power=self.power)
        assert found is not None
        return found


SETTINGS = [
    Setting(seeds, images, single, power)
    for seeds in (3, 5, 10)
    for images, single in ((0.0, 0.0), (0.3, 0.4), (0.6, 0.8))
    for power in (0.5, 0.8)
]


def study(setting: Setting, changes: NDArray[Any], rng: np.random.Generator) -> list[Any]:
    """Return the estimates of one table's changes."""
    seeds, spread = setting.seeds, setting.spread
    own = spread.single**2 - spread.images**2
    true = spread.images**2 * np.ones((seeds, seeds)) + own * np.eye(seeds)
    found = []
    for change in changes:
        values = change + rng.normal(size=seeds) + spread.images * rng.normal()
        covariance = None
        if spread.single:
            draws = rng.multivariate_normal(np.zeros(seeds), true, spread.count)
            covariance = np.atleast_2d(np.cov(draws.T))
        found.append(estimate_change(values, covariance, spread.count if spread.single else 0))
    return found


def pilot(setting: Setting, rng: np.random.Generator) -> Spread:
    """Return the spread that a forecast takes from five changes of a study with three seeds."""
    return typical_spread(study(setting._replace(seeds=3), np.zeros(CHANGES), rng))


def compare(setting: Setting, studies: int, pilots: int = 100) -> dict[str, float]:
    """Return forecasts and frequencies in percent."""
    rng = np.random.default_rng(0)
    changes = np.array([setting.change, *[0.0] * (CHANGES - 1)])
    plain, corrected, covered = 0, 0, 0
    for _ in range(studies):
        estimates = study(setting, changes, rng)
        first = estimates[0]
        adjusted = holm([one.p for one in estimates])[0]
        plain += first.p is not None and first.p < ALPHA
        corrected += adjusted is not None and adjusted < ALPHA
        covered += first.low <= setting.change <= first.high
    guesses = [probability(pilot(setting, rng), setting.seeds, setting.change) for _ in range(pilots)]
    low, high = np.quantile(guesses, [0.1, 0.9]) if guesses else (0, 0)
    shares = {
        "forecast": probability(setting.spread, setting.seeds, setting.change),
        "frequency": plain / studies,
        "forecast after Holm": probability(setting.spread, setting.seeds, setting.change, ALPHA / CHANGES),
        "frequency after Holm": corrected / studies,
        "coverage": covered / studies,
        "pilot": float(np.mean(guesses)) if guesses else 0.0,
        "pilot, low": float(low),
        "pilot, high": float(high),
    }
    return {name: 100 * share for name, share in shares.items()}


def main() -> None:
    """Run the settings and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--pilots", type=int, default=100)
    parser.add_argument("--settings", nargs="+", type=int, default=range(len(SETTINGS)), metavar="N")
    arguments = parser.parse_args()
    print("| seeds | images: shared, of one seed | change | forecast | frequency | after Holm: forecast ", end="")
    print("| frequency | coverage | forecast from a pilot |\n|---|---|---|---|---|---|---|---|---|", flush=True)
    for setting in (SETTINGS[number] for number in arguments.settings):
        got = compare(setting, arguments.studies, arguments.pilots)
        cells = [setting.seeds, f"{setting.images:g}, {setting.single:g}", f"{setting.change:.2f}"]
        cells += [f"{got[name]:.1f}" for name in ("forecast", "frequency")]
        cells += [f"{got[name]:.1f}" for name in ("forecast after Holm", "frequency after Holm", "coverage")]
        cells += [f"{got['pilot']:.0f} ({got['pilot, low']:.0f} to {got['pilot, high']:.0f})"]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
