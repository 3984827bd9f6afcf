"""Forecast what a plan's table can show, from how much changes vary in the runs that a store already has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from dupl.config.fingerprint import canonical, without_places
from dupl.errors import UserError
from dupl.plans.row_configs import SEED
from dupl.report.tables.counts import Counts, Metric
from dupl.report.tables.power import ALPHA, POWER, Spread, probability, seeds_needed, smallest_change, typical_spread
from dupl.report.tables.statistics import P_SEEDS, Draws, Estimate, contrast, contrast_over_seeds
from dupl.report.tables.table import step_label
from dupl.runs.config import read_config_values
from dupl.terminal import counted

if TYPE_CHECKING:
    from dupl.plans.plan import Column, Plan, PlannedRun
    from dupl.runs.evaluation import StoredEvaluation
    from dupl.runs.store import RunStore
    from dupl.runs.stored_run import StoredRun

PAIRS, RUNS, RESAMPLES = 4, 60, 500  # looked at for a spread: pairs of rows, runs of other plans, draws of images
ABSENT = "no two rows of finished runs on these data share two seeds: give --spread SEEDS,IMAGES"
Row = Mapping[int, "StoredRun"]  # runs by seed


@dataclass(frozen=True)
class Need:
    """What a difference needs to be shown.

    Attributes:
        label: The change that the paper reports, such as "+ DTA".
        change: In points.
        seeds: Fewest seeds with which p < 0.05 has the probability; None where too many are needed.
        corrected: The same where the change has to pass the strictest step of Holm's correction.
        probability: Of p < 0.05 with the plan's seeds.
    """

    label: str
    change: float
    seeds: int | None
    corrected: int | None
    probability: float


@dataclass(frozen=True)
class ColumnForecast:
    """What a column of a table can show.

    Attributes:
        label: Of the column.
        spread: How much a change varies; None where it is not known.
        source: Where the spread comes from, or why there is none.
        seeds: Of each row of the plan.
        changes: Number of changes that Holm's correction is over.
        smallest: Change that gets p < 0.05 with the probability; None below `P_SEEDS` seeds.
        corrected: The same where the change has to pass the strictest step of Holm's correction.
        needs: Of the paper's changes.
        power: The probability.
    """

    label: str
    spread: Spread | None
    source: str
    seeds: int
    changes: int
    smallest: float | None = None
    corrected: float | None = None
    needs: tuple[Need, ...] = ()
    power: float = POWER

    @classmethod
    def of(
        cls,
        label: str,
        spread: Spread | None,
        source: str,
        seeds: int,
        changes: int,
        differences: Sequence[tuple[str, float]] = (),
        power: float = POWER,
    ) -> ColumnForecast:
        """Compute it; ``differences`` are labels and points of the differences to be shown."""
        if spread is None:
            return cls(label, None, source, seeds, changes, power=power)
        strict = ALPHA / max(1, changes)
        needs = [
            Need(
                name,
                change,
                seeds_needed(spread, change, ALPHA, power),
                seeds_needed(spread, change, strict, power),
                probability(spread, seeds, change),
            )
            for name, change in differences
        ]
        smallest, corrected = (smallest_change(spread, seeds, alpha, power) for alpha in (ALPHA, strict))
        return cls(label, spread, source, seeds, changes, smallest, corrected, tuple(needs), power)

    def with_seeds(self, seeds: int) -> ColumnForecast:
        """Return the same forecast for another number of seeds."""
        differences = [(need.label, need.change) for need in self.needs]
        return self.of(self.label, self.spread, self.source, seeds, self.changes, differences, self.power)


def forecast(
    plan: Plan,
    planned: Sequence[PlannedRun],
    store: RunStore,
    stored: Sequence[StoredRun],
    spread: Spread | None = None,
    power: float = POWER,
) -> list[ColumnForecast]:
    """Forecast each column of a plan's table.

    Args:
        plan: With the rows to be compared; its numbers of the paper are the differences that are asked for.
        planned: Its runs.
        store: The store, which reads the counts of evaluations.
        stored: Its runs, in which spreads are looked up: of the plan's own, else of others on the same data.
        spread: Instead of the store's.
        power: Probability with which a difference is to be shown.
    """
    seeds = len({run.seed for run in planned})
    steps = [(row, other) for row in plan.rows if (other := plan.against(row)) is not None]
    finished = [run for run in stored if run.state == "finished"]
    found = []
    for column in plan.columns:
        known, source = (spread, "as given") if spread is not None else _spread(column, plan, planned, store, finished)
        differences = [
            (step_label(plan, row, other), row.paper[column.key] - other.paper[column.key])
            for row, other in steps
            if column.key in row.paper and column.key in other.paper
        ]
        what = (column.heading, known, source, seeds, len(steps), differences, power)
        found.append(ColumnForecast.of(*what))
    return found


def lines(forecasts: Sequence[ColumnForecast]) -> list[str]:
    """Return forecasts as lines: what each column would show, and how many seeds the paper's differences need."""
    if not any(one.changes for one in forecasts):
        return []
    if all(one.spread is None for one in forecasts):
        return [f"power: not known: {forecasts[0].source}"]
    first = forecasts[0]
    head = f"power: the change that gets p < {ALPHA:.2g} with {100 * first.power:g} % probability; in brackets at the "
    found = [f"{head}strictest step of Holm's correction over {counted(first.changes, 'change')}"]
    for one in forecasts:
        found.append(f"    {one.label}: {described(one)}")
        if one.spread is None:
            continue
        if one.smallest is None or one.corrected is None:
            found.append(f"        {counted(one.seeds, 'seed')}: none, as there is no p value below {P_SEEDS} seeds")
        else:
            found.append(f"        {counted(one.seeds, 'seed')}: {one.smallest:.1f} points ({one.corrected:.1f})")
        for need in one.needs:
            words = f"{seeds_in_words(need.seeds)} ({seeds_in_words(need.corrected)})"
            here = f"probability with {counted(one.seeds, 'seed')} {100 * need.probability:.0f} %"
            found.append(f"        the paper's {need.label}, {need.change:+.1f}: {words} seeds; {here}")
    return found


def described(one: ColumnForecast) -> str:
    """Return the spread behind a forecast in words, or why there is none."""
    if one.spread is None:
        return f"not known: {one.source}"
    spread = f"a change varies by {one.spread.seeds:.1f} points over seeds, {one.spread.images:.1f} over images"
    return f"{spread} ({one.source})"


def seeds_in_words(number: int | None) -> str:
    """Return a number of seeds, or that too many are needed."""
    return "over 100" if number is None else str(number)


def _spread(
    column: Column, plan: Plan, planned: Sequence[PlannedRun], store: RunStore, stored: Sequence[StoredRun]
) -> tuple[Spread | None, str]:
    """Return how much changes of a column vary, and in which runs that was seen."""
    by_id = {run.fingerprint: run for run in stored}
    rows: dict[str, dict[int, StoredRun]] = {}
    for run in planned:
        if run.fingerprint in by_id and not run.masks:  # label maps have no seeds that vary
            rows.setdefault(run.row, {})[run.seed] = by_id[run.fingerprint]
    steps = ((row.key, other.key) for row in plan.rows if (other := plan.against(row)) is not None)
    pairs: Iterator[tuple[Row, Row]] = ((rows[b], rows[a]) for a, b in steps if a in rows and b in rows)
    if (found := _of_pairs(column, pairs, store)) is not None:
        return found[0], f"{counted(found[1], 'change')} of this plan's runs"
    data = {_reported(run.values) for run in planned}
    groups = list(_groups(column, stored, data).values())
    if (found := _of_pairs(column, combinations(groups, 2), store)) is not None:
        return found[0], f"{counted(found[1], 'change')} between other runs on these data"
    return None, ABSENT


def _reported(values: Mapping[str, Any]) -> str:
    """Return the validation data of a recipe, wherever they lie, as a text."""
    return canonical(without_places((values.get("data") or {}).get("val")))


def _groups(column: Column, stored: Sequence[StoredRun], data: Set[str]) -> dict[str, dict[int, StoredRun]]:
    """Return runs on some data that differ in their seed alone, where there are two with a column's metric."""
    measured = [run for run in stored if _evaluation(run, column) is not None]
    found: dict[str, dict[int, StoredRun]] = {}
    for run in sorted(measured, key=lambda one: -one.written)[:RUNS]:
        try:
            values = read_config_values(run.path)
        except UserError:
            continue
        if _reported(values) not in data:
            continue
        section, _, key = SEED.partition(".")
        values = {**values, section: {**values.get(section, {}), key: 0}, "work_dir": ""}
        found.setdefault(canonical(values), {})[run.status.seed] = run
    return {key: runs for key, runs in found.items() if len(runs) > 1}


def _of_pairs(column: Column, pairs: Iterator[tuple[Row, Row]], store: RunStore) -> tuple[Spread, int] | None:
    """Return the typical spread of changes between pairs of rows, and of how many; None where no two share seeds."""
    found: list[Estimate] = []
    for pair in pairs:
        estimate = _change(column, pair, store)
        if estimate is not None and estimate.variances.seeds:
            found.append(estimate)
        if len(found) == PAIRS:
            break
    return (typical_spread(found), len(found)) if found else None


def _change(column: Column, pair: tuple[Row, Row], store: RunStore) -> Estimate | None:
    """Return the change between two rows over the seeds that both have; None where they share less than two."""
    seeds = sorted(set(pair[0]) & set(pair[1]))
    found = [{seed: _evaluation(row[seed], column) for seed in seeds} for row in pair]
    seeds = [seed for seed in seeds if all(row[seed] is not None for row in found)]
    if len(seeds) < 2 or all(pair[0][seed].path == pair[1][seed].path for seed in seeds):
        return None
    draws = [
        {seed: _draws(column, row[seed], one[seed], store) for seed in seeds}
        for row, one in zip(pair, found, strict=True)
    ]
    whole = [{seed: one for seed, one in row.items() if one is not None} for row in draws]
    same = len({one.images for row in whole for one in row.values()}) == 1
    if same and all(len(row) == len(seeds) for row in whole):
        return contrast(whole, [-1, 1])
    values = [{s: one.metrics[column.metric] for s in seeds if (one := row[s]) is not None} for row in found]
    return contrast_over_seeds(values, [-1, 1])


def _evaluation(run: StoredRun, column: Column) -> StoredEvaluation | None:
    """Return the evaluation that speaks for a run in a column."""
    chosen = [one for one in run.evaluations if column.shows(one) and column.metric in one.metrics]
    return next((one for one in chosen if one.split == "val"), chosen[0] if chosen else None)


def _draws(column: Column, run: StoredRun, one: StoredEvaluation | None, store: RunStore) -> Draws | None:
    """Return a run's metric on resamples of its images; None where its counts are not known."""
    metric = Metric.parse(column.metric)
    if metric is None or one is None:
        return None
    pixels = store.images_of(run, one.protocol, one.split, metric.maps, column.report)
    maps = [] if pixels is None else metric.maps(pixels.maps)
    return Draws.of(Counts.of(pixels, maps), metric, RESAMPLES) if pixels is not None and maps else None
