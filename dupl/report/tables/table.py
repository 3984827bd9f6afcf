"""The table of a plan: what its runs measured beside the paper's numbers, what each step changes, what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

from dupl.plans.plan import Column, Plan, Row
from dupl.report.tables.column import Evidence, provenance
from dupl.report.tables.comparison import Comparison, Estimates, Loader
from dupl.report.tables.intervals import DEFAULT
from dupl.report.tables.kinds import LEVEL, two_kinds
from dupl.report.tables.row_run import RowRun
from dupl.report.tables.selection import Rule, evaluation_rules
from dupl.report.tables.statistics import Estimate, Summary, holm, marginal_weights

if TYPE_CHECKING:
    from pandas import DataFrame

MANY = 3  # changed factors that still make a name


@dataclass(frozen=True)
class RowStep:
    """The change from one row to another.

    Attributes:
        label: "+ DTA".
        against: Key of the other row; "" for the effect of a factor.
        estimate: With its interval; None where there is none.
        change: The difference of means over shared seeds; None where there is none.
        p: Corrected by Holm's method over the table's rows of this column.
        paper: The paper's difference.
        note: What is missing, or restricted.
    """

    label: str
    against: str
    estimate: Estimate | None = None
    change: float | None = None
    p: float | None = None
    paper: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """One row's figures in one column.

    Attributes:
        values: By seed, percent.
        summary: Of them; None where there is none.
        paper: The paper's number.
        step: Against another row; None for a row that is compared with none.
        notes: What is missing, and why.
        fingerprints: Of the runs behind the values.
        commits: Of their code.
    """

    values: Mapping[int, float]
    summary: Summary | None
    paper: float | None
    step: RowStep | None
    notes: tuple[str, ...]
    fingerprints: tuple[str, ...]
    commits: tuple[str, ...]


@dataclass(frozen=True)
class Ratio:
    """A row's value in percent of another row's.

    Attributes:
        to: Key of the other row.
        value: Of the means over the seeds that both have; None where they share none.
        paper: The same of the paper's numbers; None where it has not both.
    """

    to: str
    value: float | None
    paper: float | None


@dataclass(frozen=True)
class Table:
    """A table, ready to be printed.

    Attributes:
        plan: What was planned, with the rows that are shown.
        cells: By row and column key.
        effects: Of a factorial, by factor and column key.
        notes: On the whole table.
        provenance: Names and values.
        cautions: By column key, a footnote to the whole column.
        how: By column key, split and protocol in words, as the evaluations have them; "" before there is one.
        ratios: By row and column key, for the rows that the plan compares as a ratio.
        selection: By column key, the choices that were made by looking at the reported data.
        interval: Name of the method of the intervals.
    """

    plan: Plan
    cells: Mapping[tuple[str, str], Cell]
    effects: Mapping[tuple[str, str], RowStep]
    notes: tuple[str, ...]
    provenance: Mapping[str, str]
    cautions: Mapping[str, str] = field(default_factory=dict)
    how: Mapping[str, str] = field(default_factory=dict)
    ratios: Mapping[tuple[str, str], Ratio] = field(default_factory=dict)
    selection: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    interval: str = DEFAULT

    def footnotes(self, column: str) -> tuple[str, ...]:
        """Return the footnotes to a whole column: how its numbers were selected, then its caution."""
        rules = [f"selected: {rule.text}" for rule in self.selection.get(column, ())]
        return (*rules, *filter(None, [self.cautions.get(column, "")]))


def table(
    plan: Plan,
    runs: Sequence[RowRun],
    frame: DataFrame,
    load: Loader,
    *,
    subsets: Mapping[str, Sequence[str]] | None = None,
    selected: Callable[[Evidence], Sequence[Rule]] = lambda _: (),
    mixed: Callable[[DataFrame], Sequence[str]] = lambda _: (),
    command: str = "",
    interval: str = DEFAULT,
) -> Table:
    """The table of a plan.

    Args:
        plan: The plan.
        runs: One for each row and seed.
        frame: Metrics, a row for each run, evaluation and metric: columns run, fingerprint, state, seed, commit, dirty,
            versions of packages, protocol, title, split, last, best, metric and value.
        load: Reads the pixels per image of a fingerprint, a protocol, a split, a choice of label maps, and "last" or
            "best" weights.
        subsets: Class names by the name of a subset's mIoU.
        selected: The choices behind a column that its metrics do not show.
        mixed: What keeps the evaluations of a part of the frame from being compared, in lines.
        command: That the table is made with.
        interval: Name of the method of the intervals; p values and stars are the default's.
    """
    measured = {column.key: Evidence.of(column, runs, frame) for column in plan.columns}
    cells: dict[tuple[str, str], Cell] = {}
    effects: dict[tuple[str, str], RowStep] = {}
    for column in plan.columns:
        evidence = measured[column.key]
        estimates = Estimates(column.metric, evidence, load, subsets or {}, interval)
        steps = _corrected([_step(plan, row, column, estimates) for row in plan.rows])
        for row, step in zip(plan.rows, steps, strict=True):
            values = evidence.values(row.key)
            if row.masks:  # one set of label maps, which stands against every seed of the other rows
                values = dict(list(values.items())[:1])
            cells[row.key, column.key] = Cell(
                values,
                Summary.of(values.values()) if values else None,
                row.paper.get(column.key),
                step,
                evidence.absent(row.key),
                tuple(dict.fromkeys(evidence.fingerprint(row.key, seed) for seed in values)),
                evidence.commits(row.key),
            )
        if plan.kind == "factorial":
            found = {key: _effect(plan, key, estimates) for key in plan.factors}
            varied = {key: step for key, step in found.items() if step is not None}
            corrected = _corrected(list(varied.values()))
            effects |= {(key, column.key): s for key, s in zip(varied, corrected, strict=True) if s is not None}
    used = [evidence.used.assign(report=evidence.column.report) for evidence in measured.values()]
    notes, facts = provenance(plan.name, runs, used, mixed, command, _spread(plan, cells))
    how = {key: evidence.how for key, evidence in measured.items()}
    rules = {key: (*evaluation_rules(one, frame), *selected(one)) for key, one in measured.items()}
    more = (
        _cautions(plan, cells),
        how,
        _ratios(plan, measured),
        {key: found for key, found in rules.items() if found},
        interval,
    )
    return Table(plan, cells, effects, notes, facts, *more)


def _spread(plan: Plan, cells: Mapping[tuple[str, str], Cell]) -> str:
    """Say by how much seeds differ: the median over the rows of a column of their standard deviation over seeds."""
    parts = []
    for column in plan.columns:
        found = [cell.summary.std for (_, key), cell in cells.items() if key == column.key and cell.summary]
        if known := [std for std in found if std is not None]:
            parts.append(f"{median(known):.1f} ({column.heading})")
    if not parts:
        return "by how much seeds differ is not known: no row has two"
    return f"seeds of a row differ by {', '.join(parts)}: the median standard deviation"


def _ratios(plan: Plan, measured: Mapping[str, Evidence]) -> dict[tuple[str, str], Ratio]:
    """Return the ratios that a plan asks for, by row and column key."""
    found, printed = {}, {row.key: row.paper for row in plan.rows}
    for key, other in plan.ratio.items():
        for column, evidence in measured.items():
            one, base = evidence.values(key), evidence.values(other)
            seeds = one.keys() & base.keys()
            below = sum(base[seed] for seed in seeds)
            value = 100 * sum(one[seed] for seed in seeds) / below if below else None
            paper, beside = printed[key].get(column), printed[other].get(column)
            found[key, column] = Ratio(other, value, 100 * paper / beside if paper and beside else None)
    return found


def _cautions(plan: Plan, cells: Mapping[tuple[str, str], Cell]) -> dict[str, str]:
    """The columns whose seeds are of two kinds, with the test that says so."""
    found = {}
    for column in plan.columns:
        part = [cells[row.key, column.key] for row in plan.rows]
        different = {cell.fingerprints: tuple(cell.values.values()) for cell in part}  # rows may share their runs
        p = two_kinds(list(different.values()))
        if p is not None and p < LEVEL:
            found[column.key] = (
                f"the seeds are of two kinds (test of one kind: p = {p:.2g}): no interval, p value or star of so few "
                "seeds holds; look at the single seeds"
            )
    return found


def _step(plan: Plan, row: Row, column: Column, estimates: Estimates) -> RowStep | None:
    other = plan.against(row)
    if other is None:
        return None
    label, key = step_label(plan, row, other), column.key
    paper = row.paper[key] - other.paper[key] if key in row.paper and key in other.paper else None
    if not estimates.evidence.values(row.key):  # the cell tells why
        return RowStep(label, other.key, paper=paper)
    names = {row.key: row.label, other.key: other.label}
    return _told(RowStep(label, other.key, paper=paper), estimates.compare([other.key, row.key], [-1.0, 1.0], names))


def _effect(plan: Plan, factor: str, estimates: Estimates) -> RowStep | None:
    """Return the marginal mean of a factor over the rows that are trained; None for one that never changes alone."""
    weights = marginal_weights([row.has for row in plan.trained], factor)
    if weights is None:
        return None
    rows = [(row, weight) for row, weight in zip(plan.trained, weights, strict=True) if weight]
    names = {row.key: row.label for row, _ in rows}
    found = estimates.compare(list(names), [weight for _, weight in rows], names)
    return _told(RowStep(f"+ {plan.factors[factor]}", ""), found)


def _told(step: RowStep, found: Comparison) -> RowStep:
    p = None if found.estimate is None else found.estimate.p
    return replace(step, estimate=found.estimate, change=found.change, p=p, note=found.note)


def _corrected(steps: Sequence[RowStep | None]) -> list[RowStep | None]:
    corrected = holm([None if step is None else step.p for step in steps])
    return [None if step is None else replace(step, p=p) for step, p in zip(steps, corrected, strict=True)]


def step_label(plan: Plan, row: Row, other: Row) -> str:
    """What comes and what goes: "+ DTA", "− ANF"; the row's label where no factor does, or many do."""
    changed = [
        f"{'+' if key in row.has else '−'} {name}"
        for key, name in plan.factors.items()
        if (key in row.has) != (key in other.has)
    ]
    return " ".join(changed) if 1 <= len(changed) <= MANY else row.label
