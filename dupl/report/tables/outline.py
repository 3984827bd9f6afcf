"""What a table is told of its plan and runs, as plain data: the report knows no lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PREVIOUS = "previous"


@dataclass(frozen=True)
class Column:
    """What is measured.

    Attributes:
        key: Unique in the table.
        label: As printed.
        metric: Name of the metric ("cam/best/mIoU").
        protocol: Of the evaluation ("train", "final").
        how: Split and protocol in words, as the evaluations have them; "" before there is one.
    """

    key: str
    label: str
    metric: str
    protocol: str
    how: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a plan.

    Attributes:
        key: Unique in the table.
        label: As printed.
        has: Keys of the factors that are on.
        paper: The paper's numbers by column key.
        note: For a footnote.
    """

    key: str
    label: str
    has: tuple[str, ...] = ()
    paper: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Outline:
    """A plan, as far as a table needs it.

    Attributes:
        name: Of the plan.
        title: One line.
        columns, rows: In order.
        factors: Labels by key.
        kind: "factorial" asks for the effect of each factor.
        compare: What a row's step is against: "previous", or the key of a row.
        heading: Of the labels' column.
        reference: A line on the paper's numbers.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    factors: Mapping[str, str] = field(default_factory=dict)
    kind: str = "rows"
    compare: str = PREVIOUS
    heading: str = ""
    reference: str = ""

    def against(self, row: Row) -> Row | None:
        """The row that a row's step is against; None for the first one, or itself."""
        if self.compare == PREVIOUS:
            place = self.rows.index(row)
            return self.rows[place - 1] if place else None
        return next((other for other in self.rows if other.key == self.compare and other is not row), None)


@dataclass(frozen=True)
class PlannedRun:
    """A run of a plan, and what became of it.

    Attributes:
        row: Key of the row.
        seed: Of the run.
        fingerprint: Of its config.
        folder: Where it is; "" where it was never begun.
        state: As its status has it; None where it was never begun.
        iteration, iterations: Done, and in all.
        error: Why it failed.
    """

    row: str
    seed: int
    fingerprint: str
    folder: str = ""
    state: str | None = None
    iteration: int = 0
    iterations: int | None = None
    error: str | None = None
