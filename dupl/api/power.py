"""What a table can show before it is computed: forecasts of power."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.api.planned import resolved
from dupl.api.recipes import Overrides, override_values
from dupl.api.tables import AnyPlan, AnyStore, load_plan, open_store
from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.execute.ablation import Ablation
    from dupl.report.power_forecast import ColumnForecast


def forecast_power(
    plan: AnyPlan | None = None,
    store: AnyStore = "runs",
    *,
    rows: Sequence[str] | None = None,
    overrides: Overrides = None,
    spread: tuple[float, float] | str | None = None,
    differences: Sequence[float] = (),
    changes: int | None = None,
    seeds: int | None = None,
    power: float = 0.8,
) -> list[ColumnForecast]:
    """Forecast which changes a table would show, and how many seeds a change needs.

    The forecast uses the p value of tables: no change is shown below three seeds.

    Args:
        plan: A plan, its name or its file; None forecasts one column from ``spread``.
        store: A store or its folder, where the spread of the plan's changes is looked up.
        rows: Keys of rows; all by default.
        overrides: Values by path for every run.
        spread: Points by which a change varies over seeds and over images, as a pair or as "1.8,0.9"; by default what
            the store shows.
        differences: Differences in points that are asked for beside the paper's.
        changes: Number of changes that Holm's correction is over; by default the plan's, or 1.
        seeds: Seeds of each row; by default the plan's, or 3.
        power: Probability with which a change is to be shown.

    Returns:
        A forecast for each column, with ``smallest``, ``corrected`` (after Holm's correction) and ``needs``.

    Raises:
        UserError: No such plan or row, neither a plan nor a spread, or a number out of range.

    Example:
        >>> (one,) = dupl.forecast_power(spread=(1.0, 0.5), differences=[2.0], seeds=5)
        >>> round(one.smallest, 1), one.needs[0].seeds, round(one.needs[0].probability, 2)
        (2.2, 6, 0.74)
    """
    from dupl.plans.paper import comparable
    from dupl.report.power_forecast import ColumnForecast, forecast
    from dupl.report.tables.power import Spread

    if not 0 < power < 1 or (seeds or 1) < 1 or (changes or 1) < 1:
        raise UserError("a forecast needs a power between 0 and 1, and numbers of seeds and changes from 1 on")
    text = ",".join(map(str, spread)) if isinstance(spread, tuple) else spread
    given = None if text is None else Spread.parse(text)
    asked = [("difference", float(one)) for one in differences]
    if plan is None:
        if given is None:
            raise UserError("a forecast needs a plan or a spread: dupl power PLAN, or --spread SEEDS,IMAGES")
        return [ColumnForecast.of("change", given, "as given", seeds or 3, changes or 1, asked, power)]
    made, opened, values = load_plan(plan), open_store(store), override_values(overrides)
    planned = resolved(made.expand(rows, None, values), opened)
    shown = comparable(made.select(rows), values)
    found = forecast(shown, planned, opened, [] if given is not None else opened.best(), given, power)
    return [
        ColumnForecast.of(
            one.label,
            one.spread,
            one.source,
            seeds or one.seeds,
            changes or one.changes,
            [*((need.label, need.change) for need in one.needs), *asked],
            power,
        )
        for one in found
    ]


def preview_power(ablation: Ablation, overrides: Overrides = None, spread: str | None = None) -> list[str]:
    """Return what the table of a plan would show, as the lines of ``dupl ablate --dry-run``.

    Args:
        ablation: What `prepare_ablation` returned.
        overrides: Values by path of its runs.
        spread: Points by which a change varies over seeds and images, such as "1.8,0.9"; None looks in the store.

    Raises:
        UserError: The spread is no such pair.

    Example:
        >>> lines = dupl.api.preview_power(dupl.api.prepare_ablation("plan.py", "runs", dry_run=True))
        >>> lines[0][:29]
        'power: the change that gets p'
    """
    from dupl.plans.paper import comparable
    from dupl.report.power_forecast import forecast, lines
    from dupl.report.tables.power import Spread

    given = None if spread is None else Spread.parse(spread)
    rows = {run.row for run in ablation.planned}
    shown = ablation.plan.select([row.key for row in ablation.plan.rows if row.key in rows])
    plan = comparable(shown, override_values(overrides))
    stored = list(ablation.known.values())
    return lines(forecast(plan, ablation.planned, open_store(ablation.root), stored, given))


def power_source(forecast: ColumnForecast) -> str:
    """Return the spread behind a forecast in words, or why there is none.

    Example:
        >>> dupl.api.power_source(dupl.forecast_power(spread=(1.0, 0.5))[0])
        'a change varies by 1.0 points over seeds, 0.5 over images (as given)'
    """
    from dupl.report.power_forecast import described

    return described(forecast)


def seeds_in_words(number: int | None) -> str:
    """Return a number of seeds that a difference needs as a word.

    Example:
        >>> dupl.api.seeds_in_words(7), dupl.api.seeds_in_words(None)
        ('7', 'over 100')
    """
    from dupl.report.power_forecast import seeds_in_words as words

    return words(number)


def write_power_chart(
    forecasts: Sequence[ColumnForecast], out: str | Path, seeds: Sequence[int] = (3, 5, 10), title: str = "Power"
) -> Path:
    """Draw the probability of p < 0.05 over the size of a difference into a file, a panel for each column.

    Args:
        forecasts: What `forecast_power` returned.
        out: The file, which ends with .pdf, .svg or .png.
        seeds: A curve for each number.
        title: What is shown.

    Raises:
        UserError: No column has a known spread, or the file ends otherwise.

    Example:
        >>> dupl.api.write_power_chart(dupl.forecast_power(spread=(1.0, 0.5)), "power.png").name
        'power.png'
    """
    from dupl.report.figures.power_curves import power_picture

    known = [one for one in forecasts if one.spread is not None]
    if not known:
        raise UserError(f"no chart: {forecasts[0].source if forecasts else 'there is no column'}")
    spreads = {one.label: one.spread for one in known if one.spread is not None}
    marks = {one.label: [(need.label, need.change) for need in one.needs] for one in known}
    power = known[0].power
    subtitle = f"p < 0.05 by the tables' estimator, before Holm's correction; dashed: {100 * power:g} %"
    power_picture(spreads, seeds, out, title, subtitle, marks, power)
    return Path(out)
