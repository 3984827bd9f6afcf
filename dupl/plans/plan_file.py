"""A plan file: what it may contain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from dupl.config.kinds import Seed

Paths = dict[str, Any]  # values by path of the config


@dataclass(frozen=True)
class ColumnFile:
    """A column of a plan file.

    Attributes:
        metric: Name of the metric, such as "cam/best/mIoU".
        label: Heading in the table; the key by default.
        protocol: "train" is measured during training; "final" is evaluated after it.
        split: Entry of the recipe's data that is judged, such as "train", evaluated after training; "" is val.
        report: Weights of each run that are judged: "last", or "best", which training selected on val by the recipe's
            evaluation.best.
    """

    metric: str
    label: str = ""
    protocol: Literal["train", "final"] = "train"
    split: str = ""
    report: Literal["last", "best"] = "last"


@dataclass(frozen=True)
class FactorFile:
    """A factor of a plan file, which is on or off in a row.

    Attributes:
        label: Label in the table; the key by default.
        without: Changes of rows in which it is off.
        with_: Changes of rows in which it is on.
        needs: Keys of the factors that must be on with it.
    """

    label: str = ""
    without: Paths = field(default_factory=dict)
    with_: Paths = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RowFacts:
    """What may be given for any row of a plan file.

    Attributes:
        label: Label in the table; by default what was added to the row before.
        paper: The paper's number by column key.
        note: Text of a footnote.
    """

    label: str = ""
    paper: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class RowFile(RowFacts):
    """A row of a plan file.

    Attributes:
        label: Label in the table; by default what was added to the row before.
        paper: The paper's number by column key.
        note: Text of a footnote.
        has: Keys of the factors that are on; required where there are factors.
        set: Changes of this row, applied last.
        base: A recipe other than the plan's.
        alike: Key of a row that is the same run, on purpose.
        printed: Whether the row has the numbers of the paper alone, and nothing is trained.
        masks: Name of label maps of another program that `dupl eval --masks` scored; nothing is trained.
    """

    has: list[str] = field(default_factory=list)
    set: Paths = field(default_factory=dict)
    base: str = ""
    alike: str = ""
    printed: bool = False
    masks: str = ""


@dataclass(frozen=True)
class VaryFile:
    """One row per value.

    Attributes:
        paths: Paths of the config that all take the value.
        values: A list of values, or a dict of values by the key of the row.
        label: Heading of the column of labels.
    """

    paths: list[str]
    values: list[Any] | dict[str, Any]
    label: str = ""


@dataclass(frozen=True)
class PlanFile:
    """A plan: the rows, columns and seeds of an ablation table.

    Attributes:
        base: Recipe that the rows change.
        columns: What is measured, by key.
        title: Title of the table, one line; by default the first line of the docstring.
        seeds: Each row is trained once with each of them.
        set: Changes of all rows, applied first.
        factors: What is on or off in a row, by key.
        rows: The rows by key.
        vary: Instead of rows: one per value.
        leave_one_out: Instead of rows: the full model, then the model without each factor, or each named one.
        factorial: Instead of rows: every combination of the factors, or of the named ones.
        compare: What a row is compared with: "previous" (the row above), or the key of a row.
        ratio: Rows whose value is also shown in percent of another row's, by key.
        reference: A line below the table about numbers that cannot be compared.
    """

    base: str
    columns: dict[str, ColumnFile] = field(default_factory=dict)
    title: str = ""
    seeds: list[Seed] = field(default_factory=lambda: [0])
    set: Paths = field(default_factory=dict)
    factors: dict[str, FactorFile] = field(default_factory=dict)
    rows: dict[str, RowFile] = field(default_factory=dict)
    vary: VaryFile | None = None
    leave_one_out: bool | list[str] = False
    factorial: bool | list[str] = False
    compare: str = ""
    ratio: dict[str, str] = field(default_factory=dict)
    reference: str = ""
