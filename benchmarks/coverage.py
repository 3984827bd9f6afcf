"""How often p values and intervals of dupl.report.tables.statistics are right, on simulated tables and evaluations.

    python benchmarks/coverage.py [--tables 100000] [--experiments 2000] [--only NAME ...] [--resamples 1000] [--jobs 1]
        [--intervals behrens-fisher percentile bca satterthwaite mixed-model]

Prints Markdown tables. The first ones are of `rates.py`: coverage, false positives and power of tables with normal
seeds, of the rules that were compared, and of seeds of two kinds. ``--experiments 0`` prints them alone, ``--tables 0``
leaves them out. The last ones are of intervals on simulated evaluations: a population of images, each with its objects
and its difficulty, is made once for each case; every experiment draws images and seeds from it, counts pixels of two
(or four) rows, and asks for the interval of their difference, by each method that ``--intervals`` names. The truth is
the difference on the whole population, over many seeds.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rates import grid

from dupl.report.tables.counts import Counts, Metric
from dupl.report.tables.intervals import DEFAULT, LABELS
from dupl.report.tables.statistics import Draws, contrast, marginal_weights

PIXELS, POPULATION = 10_000, 20_000
METRIC = Metric("seg", "best", "mIoU")


@dataclass(frozen=True)
class Case:
    """A kind of experiment.

    Attributes:
        name: Of the row that is printed.
        images: Drawn per experiment.
        classes: With background.
        seeds: Of each row; with one, the truth is that of these very networks.
        skew: Exponent of the classes' frequencies: 0 all alike, 1 few images for the last ones.
        gap: Between the rows, in logits of recall.
        spread: Standard deviation between seeds and students, in logits; about 20 points of mIoU each.
        students: Of each network, of whom the better one counts.
        own: Standard deviation of what an image does to one row alone, in logits.
        tail: Whether the spread between seeds has one heavy tail (runs that fail) instead of being normal.
        rows: Two, or four for a factorial of two components.
    """

    name: str
    images: int
    classes: int = 21
    seeds: int = 1
    skew: float = 0.5
    gap: float = 0.1
    spread: float = 0.0
    students: int = 2
    own: float = 0.5
    tail: bool = False
    rows: int = 2


CASES = (
    Case("200 images, 8 classes", 200, 8),
    Case("100 images, 21 classes", 100),
    Case("100 images, 21 classes, the rarest in one or two", 100, skew=1.0),
    Case("100 images, next to no difference", 100, gap=0.0),
    Case("400 images, one student", 400, students=1, gap=0.3),
    Case("1,449 images, 21 classes", 1449),
    Case("2 seeds, spread as large as that of images", 200, 8, seeds=2, spread=0.1),
    Case("2 seeds, large spread", 200, 8, seeds=2, spread=0.4),
    Case("3 seeds, no spread", 200, 8, seeds=3),
    Case("3 seeds, small spread", 200, 8, seeds=3, spread=0.03),
    Case("3 seeds, spread as large as that of images", 200, 8, seeds=3, spread=0.1),
    Case("3 seeds, large spread", 200, 8, seeds=3, spread=0.4),
    Case("3 seeds, 1,449 images, 21 classes", 1449, seeds=3, spread=0.05),
    Case("3 seeds, 100 images, the rarest class in one or two", 100, seeds=3, skew=1.0, spread=0.1),
    Case("3 seeds, next to no difference", 200, 8, seeds=3, gap=0.0, spread=0.1),
    Case("5 seeds, spread as large as that of images", 200, 8, seeds=5, spread=0.1),
    Case("3 seeds, one heavy tail", 200, 8, seeds=3, spread=0.4, tail=True),
    Case("effect of a component, factorial, 1 seed", 200, 8, rows=4),
    Case("effect of a component, factorial, 3 seeds", 200, 8, seeds=3, rows=4, spread=0.1),
)


def sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """Of logits."""
    return np.asarray(1 / (1 + np.exp(-x)))


class World:
    """A population of images of up to two objects, and how rows segment them."""

    def __init__(self, case: Case) -> None:
        """Draws it, the same one for the same case."""
        rng = np.random.default_rng(zlib.crc32(case.name.encode()))
        self.case, size, foreground = case, POPULATION, case.classes - 1
        share = np.arange(1, foreground + 1.0) ** -case.skew
        self.label = 1 + rng.choice(foreground, (size, 2), p=share / share.sum())
        self.area = rng.beta(1.2, 3, (size, 2)) * PIXELS
        self.area[:, 1] *= (rng.random(size) < 0.3) & (self.label[:, 0] != self.label[:, 1])
        self.area *= np.minimum(1, 0.9 * PIXELS / self.area.sum(1))[:, None]
        self.other = 1 + rng.choice(foreground, size, p=share / share.sum())
        self.hard, self.clutter = rng.normal(size=(2, size))
        self.own = case.own * rng.normal(size=(case.rows, size))
        self.base = rng.normal(1.0, 0.7, case.classes)

    def shift(self, row: int) -> float:
        """What a row gains; in a factorial both components gain the gap, and together half of it more."""
        return self.case.gap * (0.0, 1.0, 1.0, 2.5)[row]

    def counts(self, which: NDArray[np.int64], row: int, shift: float, rng: np.random.Generator) -> NDArray[Any]:
        """TP, FP and FN of some images by one student, (images, classes, 3)."""
        n = len(which)
        found, k = np.zeros((n, self.case.classes, 3)), np.arange(n)
        easy = self.hard[which] + self.own[row][which] + 0.3 * rng.normal(size=n)
        found[:, 0, 0] = PIXELS - self.area[which].sum(1)
        for slot in (0, 1):
            label, area = self.label[which, slot], self.area[which, slot]
            hit = np.round(area * sigmoid(self.base[label] + shift + easy))
            np.add.at(found, (k, label), np.stack([hit, 0 * hit, area - hit], 1))
            wrong = np.where(self.other[which] != label, 0.25 * (area - hit), 0)  # taken for another class
            np.add.at(found, (k, self.other[which], 1), wrong)
            found[:, 0, 1] += area - hit - wrong
        label = self.label[which, 0]
        over = sigmoid(-2.5 - 0.5 * (shift + self.own[row][which]) + self.clutter[which] + 0.3 * rng.normal(size=n))
        spill = np.minimum(over * found[:, 0, 0], 1.5 * self.area[which, 0])
        np.add.at(found, (k, label, 1), spill)
        found[:, 0] += np.stack([-spill, 0 * spill, spill], 1)
        return found

    def spread(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
        """Shifts of seeds and students, of mean 0."""
        drawn = 1 - rng.exponential(size=shape) if self.case.tail else rng.normal(size=shape)
        return self.case.spread * drawn

    @cached_property
    def truths(self) -> NDArray[Any]:
        """mIoU of each row's better student on the whole population, the mean over seeds, (rows,)."""
        rng, everything = np.random.default_rng(1), np.arange(POPULATION)
        grid = np.linspace(-2, 1, 13) if self.case.spread else np.zeros(1)
        best = self.spread(rng, (200_000, self.case.students)).max(1)
        found = []
        for row in range(self.case.rows):
            totals = [self.counts(everything, row, self.shift(row) + x, rng).sum(0) for x in grid]
            values = METRIC.of(np.array(totals)[:, None], range(self.case.classes))  # type: ignore[arg-type]
            found.append(np.interp(best, grid, values).mean())
        return np.array(found)

    def draw(self, rng: np.random.Generator, resamples: int) -> list[dict[int, Draws]]:
        """One experiment: images, and of each row its runs by seed."""
        case = self.case
        which = rng.integers(0, POPULATION, case.images)
        rows: list[dict[int, Draws]] = []
        for row in range(case.rows):
            shifts = self.shift(row) + self.spread(rng, (case.seeds, case.students))
            runs = [np.stack([self.counts(which, row, x, rng) for x in shift], 1) for shift in shifts]
            classes = [str(c) for c in range(case.classes)]
            rows.append({s: Draws.of(Counts.dense(r, classes), METRIC, resamples) for s, r in enumerate(runs)})
        return rows


@dataclass(frozen=True)
class Result:
    """Of one experiment and one method: whether the interval lies too high or too low, and its width."""

    high: bool
    low: bool
    width: float


@lru_cache(maxsize=1)
def world(case: Case) -> World:
    """One at a time."""
    return World(case)


def experiment(case: Case, number: int, resamples: int, intervals: Sequence[str]) -> dict[str, Result]:
    """Draw, estimate by each method that can tell, compare with the truth."""
    rng = np.random.default_rng([zlib.crc32(case.name.encode()), number])
    here = world(case)
    rows = here.draw(rng, resamples)
    components = [(), ("A",), ("B",), ("A", "B")] if case.rows == 4 else [(), ("A",)]
    weights = marginal_weights(components, "A") or []
    truth = float(np.dot(weights, here.truths))
    found = {name: contrast(rows, weights, interval=name) for name in intervals}
    return {
        name: Result(truth < one.low, truth > one.high, one.high - one.low)
        for name, one in found.items()
        if one is not None
    }


def part(case: Case, numbers: range, resamples: int, intervals: Sequence[str]) -> list[dict[str, Result]]:
    """Some experiments of a case."""
    return [experiment(case, number, resamples, intervals) for number in numbers]


def run(
    case: Case, experiments: int, resamples: int, jobs: int = 1, intervals: Sequence[str] = (DEFAULT,)
) -> dict[str, dict[str, float]]:
    """All experiments of a case, by method: shares in percent, widths in points."""
    if jobs == 1:
        results = part(case, range(experiments), resamples, intervals)
    else:
        ranges = [range(k, experiments, jobs) for k in range(jobs)]
        with ProcessPoolExecutor(jobs) as pool:
            found = pool.map(part, [case] * jobs, ranges, [resamples] * jobs, [intervals] * jobs)
            results = sum(found, [])
    names = [name for name in intervals if all(name in one for one in results)]
    means = {
        name: {f.name: float(np.mean([getattr(one[name], f.name) for one in results])) for f in fields(Result)}
        for name in names
    }
    return {
        name: {
            "coverage": 100 * (1 - mean["high"] - mean["low"]),
            "high": 100 * mean["high"],
            "low": 100 * mean["low"],
            "width": mean["width"],
        }
        for name, mean in means.items()
    }


def main() -> None:
    """Run the cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=100_000)
    parser.add_argument("--experiments", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="cases whose name begins so")
    parser.add_argument("--intervals", nargs="+", choices=LABELS, default=[DEFAULT, "percentile"], metavar="NAME")
    arguments = parser.parse_args()
    for line in grid(arguments.tables) if arguments.tables else ():
        print(line, flush=True)
    if not arguments.experiments:
        return
    print(
        "\n| case | truth | interval | coverage | too high / too low | width |\n|---|---|---|---|---|---|", flush=True
    )
    for case in CASES:
        if case.name.startswith(tuple(arguments.only)):
            how = (arguments.resamples, arguments.jobs, arguments.intervals)
            weights = [-0.5, 0.5, -0.5, 0.5] if case.rows == 4 else [-1, 1]
            for name, got in run(case, arguments.experiments, *how).items():
                print(
                    f"| {case.name} | {np.dot(weights, world(case).truths):.2f} | {LABELS[name]} "
                    f"| {got['coverage']:.1f} | {got['high']:.1f} / {got['low']:.1f} | {got['width']:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
