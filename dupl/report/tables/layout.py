"""Arrange a table as cells of text and footnotes by letter, the same for every output format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dupl.plans.plan import Column, Row
from dupl.report.tables.counts import FAIR
from dupl.report.tables.intervals import DEFAULT, LABELS
from dupl.report.tables.selection import KEY
from dupl.report.tables.statistics import P_SEEDS, THREE_STAR_SEEDS, Estimate, stars
from dupl.report.tables.table import Cell, RowStep, Table

MARKS = 8  # more factors than this stand in words
NONE = "–"
RATIO = "ratio (%)"
P = "p (Holm)"


@dataclass(frozen=True)
class Text:
    """The text of a cell.

    Attributes:
        text: Plain text.
        notes: Letters of its footnotes.
        estimate: The estimate in the text, for a drawing beside it.
        strong: Whether the cell is emphasised.
    """

    text: str
    notes: tuple[str, ...] = ()
    estimate: Estimate | None = None
    strong: bool = False


@dataclass(frozen=True)
class Grid:
    """Rows of cells under a header of two lines.

    Attributes:
        title: Title of the grid.
        groups: Label, split and protocol in words, and number of columns, in order.
        header: One text for each column; the first is that of the labels.
        marks: Number of columns of check marks, after the first column.
        rows: Cells, as many as the header has texts.
        letters: Letters of the footnotes of each group.
    """

    title: str
    groups: tuple[tuple[str, str, int], ...]
    header: tuple[str, ...]
    marks: int
    rows: tuple[tuple[Text, ...], ...]
    letters: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Document:
    """Everything that is printed of a table.

    Attributes:
        title: Title of the table.
        measures: Each column's label, with its metric and protocol.
        grids: The table, its changes, and effects where there are any.
        footnotes: Letters and texts.
        notes: Notes on the whole table.
        provenance: Names and values.
    """

    title: str
    measures: tuple[tuple[str, str], ...]
    grids: tuple[Grid, ...]
    footnotes: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]


@dataclass
class Footnotes:
    """Footnotes by letter; equal texts share a letter, in the order of their first use."""

    letters: dict[str, str] = field(default_factory=dict)

    def add(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return the letters of texts, with new letters for new texts."""
        return tuple(self.letters.setdefault(text, letter(len(self.letters))) for text in texts if text)


def letter(number: int) -> str:
    """Return the letter of a number: a, b, ..., z, aa, ab, ..."""
    return (letter(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def signed(value: float) -> str:
    """Write a number with its sign and one decimal; without a sign where it rounds to 0."""
    text = f"{value:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def spread(cell: Cell) -> str:
    """Write mean, standard deviation and number of seeds: "66.7 ± 0.4 (3)"."""
    if cell.summary is None:
        return NONE
    mean, std, n = cell.summary.mean, cell.summary.std, cell.summary.n
    return f"{mean:.1f} ({n})" if std is None else f"{mean:.1f} ± {std:.1f} ({n})"


def interval(estimate: Estimate) -> str:
    """Write the ends of an interval: "[1.1, 4.0]"."""
    return f"[{estimate.low:.1f}, {estimate.high:.1f}]".replace("-", "−")


def layout(table: Table) -> Document:
    """Arrange a table for printing; `dupl.report.tables.render` has the formats."""
    footnotes = Footnotes()
    grids = [_main(table, footnotes)]
    if steps := [row for row in table.plan.rows if table.plan.against(row) is not None]:
        grids.append(_changes(table, steps, footnotes))
    if table.effects:
        grids.append(_effects(table, footnotes))
    columns = table.plan.columns
    return Document(
        table.plan.title,
        tuple((column.heading, _measure(table, column)) for column in columns),
        tuple(grids),
        tuple((key, text) for text, key in footnotes.letters.items()),
        (*_general(table), *table.notes),
        tuple(table.provenance.items()),
    )


def _measure(table: Table, column: Column) -> str:
    how = table.how.get(column.key)
    return f"{column.metric} in percent, protocol {column.protocol}" + (f": {how}" if how else "")


def _protocol(table: Table, column: Column) -> str:
    """Return how a column was measured, or the plan's protocol where nothing was measured yet."""
    return table.how.get(column.key) or f"protocol {column.protocol}"


def _main(table: Table, footnotes: Footnotes) -> Grid:
    plan = table.plan
    factors = plan.factors if len(plan.factors) <= MARKS else {}
    words = len(plan.factors) > MARKS
    lead = len(factors) + words
    groups = [("", "", 1 + lead)]
    header = [plan.heading, *factors.values(), *["with"] * words]
    printed = {c.key: any(c.key in row.paper for row in plan.rows) for c in plan.columns}
    compared = any(plan.against(row) is not None for row in plan.rows)
    for column in plan.columns:
        names = ["ours", *["paper", "ours − paper"] * printed[column.key], *["change"] * compared]
        names += _ratio_heads(table, column)
        groups.append((column.heading, _protocol(table, column), len(names)))
        header += names
    rows = []
    for row in plan.rows:
        cells = [Text(row.label, footnotes.add([row.note]))]
        cells += [Text("✓" if key in row.has else "") for key in factors]
        if words:
            cells.append(Text(", ".join(name for key, name in plan.factors.items() if key in row.has)))
        for column in plan.columns:
            cell = table.cells[row.key, column.key]
            cells.append(Text(spread(cell), footnotes.add(cell.notes), strong=True))
            if printed[column.key]:
                cells += _paper(cell)
            if compared:
                cells.append(_change(cell, footnotes))
            cells += _ratio_cells(table, row, column)
        rows.append(tuple(cells))
    return Grid("", tuple(groups), tuple(header), len(factors), tuple(rows), _letters(table, footnotes))


def _ratio_heads(table: Table, column: Column) -> list[str]:
    """Return the headings of a column's ratios: ours, and the paper's where it has any."""
    found = [ratio for (_, key), ratio in table.ratios.items() if key == column.key]
    return [RATIO] * bool(found) + [f"paper's {RATIO}"] * any(ratio.paper is not None for ratio in found)


def _ratio_cells(table: Table, row: Row, column: Column) -> list[Text]:
    heads = _ratio_heads(table, column)
    ratio = table.ratios.get((row.key, column.key))
    if ratio is None:
        return [Text("")] * len(heads)
    values = (ratio.value, ratio.paper)[: len(heads)]
    return [Text(NONE if value is None else f"{value:.1f}") for value in values]


def _letters(table: Table, footnotes: Footnotes) -> tuple[tuple[str, ...], ...]:
    """Letters of the footnotes to the labels' column and to each column that is measured."""
    return ((), *(footnotes.add(table.footnotes(column.key)) for column in table.plan.columns))


def _paper(cell: Cell) -> list[Text]:
    if cell.paper is None:
        return [Text(""), Text("")]
    gap = signed(cell.summary.mean - cell.paper) if cell.summary is not None else NONE
    return [Text(f"{cell.paper:.1f}"), Text(gap)]


def _change(cell: Cell, footnotes: Footnotes) -> Text:
    step = cell.step
    if step is None:
        return Text("")
    if step.change is None:
        return Text(NONE, footnotes.add([step.note] if step.note else cell.notes))
    return Text(_starred(step), footnotes.add([step.note]))


def _starred(step: RowStep) -> str:
    """A change with the stars of its corrected p value."""
    if step.change is None:
        return NONE
    return signed(step.change) + ("" if step.estimate is None else stars(step.p, step.estimate.seeds))


def _changes(table: Table, rows: Sequence[Row], footnotes: Footnotes) -> Grid:
    """Every change with its interval and p value, and the paper's change."""
    plan, shown = table.plan, []
    names = {row.key: row.label for row in plan.rows}
    steps = {c.key: [s for row in rows if (s := table.cells[row.key, c.key].step) is not None] for c in plan.columns}
    printed = {key: any(step.paper is not None for step in found) for key, found in steps.items()}
    for k, row in enumerate(rows):
        first = next(iter(steps.values()))[k]
        parts = [Text(first.label), Text(names[first.against])]
        for column in plan.columns:
            step, cell = steps[column.key][k], table.cells[row.key, column.key]
            parts += _told(step, _change(cell, footnotes))
            parts += [Text("" if step.paper is None else signed(step.paper))] * printed[column.key]
        shown.append(tuple(parts))
    heads = [(c, (_interval_head(table), P, *["paper"] * printed[c.key])) for c in plan.columns]
    return _steps(table, "Changes", ("change", "against"), heads, shown, _letters(table, footnotes))


def _interval_head(table: Table) -> str:
    """Return the heading of intervals, which names their method where it is not the default."""
    return "ours, 95 % interval" + (f" ({LABELS[table.interval]})" if table.interval != DEFAULT else "")


def _told(step: RowStep, change: Text) -> list[Text]:
    if step.estimate is None:
        return [change, Text(NONE)]
    text = f"{change.text} {interval(step.estimate)}"
    p = Text(NONE if step.p is None else chance(step.p, step.estimate.seeds))
    return [Text(text, change.notes, step.estimate, strong=True), p]


def chance(p: float, seeds: int) -> str:
    """Write a p value with two digits; below `THREE_STAR_SEEDS` seeds nothing under 0.001 is claimed."""
    if p < 0.001:
        return "< 0.001" if seeds >= THREE_STAR_SEEDS else "< 0.01"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _steps(
    table: Table,
    title: str,
    lead: tuple[str, ...],
    heads: Sequence[tuple[Column, tuple[str, ...]]],
    rows: Sequence[tuple[Text, ...]],
    letters: tuple[tuple[str, ...], ...],
) -> Grid:
    groups = (("", "", len(lead)), *((column.heading, _protocol(table, column), len(names)) for column, names in heads))
    return Grid(title, groups, (*lead, *(name for _, names in heads for name in names)), 0, tuple(rows), letters)


def _effects(table: Table, footnotes: Footnotes) -> Grid:
    """The marginal mean of each factor."""
    columns, rows = table.plan.columns, []
    for key in dict.fromkeys(factor for factor, _ in table.effects):
        steps = [table.effects[key, column.key] for column in columns]
        cells = [Text(steps[0].label)]
        for step in steps:
            cells += _told(step, Text(_starred(step), footnotes.add([step.note])))
        rows.append(tuple(cells))
    heads = [(column, (_interval_head(table), P)) for column in columns]
    title = "Effect of each component (marginal mean)"
    return _steps(table, title, ("component",), heads, rows, _letters(table, footnotes))


def _general(table: Table) -> list[str]:
    """Notes that hold for every cell."""
    steps = [cell.step for cell in table.cells.values()] + list(table.effects.values())
    estimates = [step.estimate for step in steps if step is not None and step.estimate is not None]
    over = {estimate.over for estimate in estimates}
    notes = ["ours: mean ± standard deviation over seeds (number of seeds)"]
    if over:
        notes.append(f"change: 95 % interval over {' or '.join(sorted(over))}, by {LABELS[table.interval]}")
        if table.interval != DEFAULT:
            notes.append(f"p values and stars are of {LABELS[DEFAULT]}: they need not agree with these intervals")
    if any(estimate.p is not None for estimate in estimates):
        notes.append("*, **, ***: p < 0.05, 0.01, 0.001, corrected by Holm over the rows of a column")
        if any(P_SEEDS <= estimate.seeds < THREE_STAR_SEEDS for estimate in estimates):
            notes.append(f"*** and p < 0.001 only from {THREE_STAR_SEEDS} seeds")
    if any(estimate.seeds < P_SEEDS for estimate in estimates):
        notes.append(f"no p value and no star below {P_SEEDS} seeds: so few say nothing about other seeds")
    if "images" in over:
        notes.append("an interval over images alone says nothing about other seeds")
    if table.plan.ratio:
        names = {row.key: row.label for row in table.plan.rows}
        pairs = (f"{names[key]} by {names[other]}" for key, other in table.plan.ratio.items())
        notes.append(f"ratio: {', '.join(pairs)}, over the seeds that both have")
    fair = [column for column in table.plan.columns if column.key.endswith(KEY)]
    if any(f"/{FAIR}/" in column.metric for column in fair):
        notes.append("fair: the averaged prediction of a run's students, or its only student, of the last iteration")
    elif fair:
        notes.append("fair: the last iteration in the place of the best checkpoint")
    if table.effects:
        notes.append("effect: mean over all pairs of rows that differ in that component alone")
    return [*notes, *[table.plan.reference] * bool(table.plan.reference)]
