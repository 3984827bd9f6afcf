"""The columns and factors of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dupl.config.kinds import Fault
from dupl.plans.checks import unknown
from dupl.runs.evaluation import BEST_CHECKPOINT

if TYPE_CHECKING:
    from dupl.runs.evaluation import StoredEvaluation


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        key: Unique in the plan.
        label: Heading in the table.
        metric: Name of the metric, such as "cam/best/mIoU".
        protocol: "train" (measured during training) or "final" (by `dupl eval RUN --protocol final`).
        split: Entry of the recipe's data that is judged; "" is val, which training evaluates.
        report: Weights of each run that are judged: the "last" ones, or the "best" ones, which training selected on
            val by the recipe's ``evaluation.best``.
    """

    key: str
    label: str
    metric: str
    protocol: str
    split: str = ""
    report: str = "last"

    @property
    def heading(self) -> str:
        """The label, with the selection of the weights where there was one."""
        return ", ".join([self.label or self.key, *[BEST_CHECKPOINT] * (self.report == "best")])

    @property
    def measured(self) -> str:
        """The protocol, with the selection of the weights where there was one."""
        return ", ".join([self.protocol, *[BEST_CHECKPOINT] * (self.report == "best")])

    @property
    def entry(self) -> str:
        """The entry of the recipe's data."""
        return self.split or "val"

    def judges(self, split: str) -> bool:
        """Return whether an evaluation's split, such as "train" or "train-train_aug", is the one of this column."""
        return split == self.entry or split.startswith(f"{self.entry}-")

    def shows(self, one: StoredEvaluation) -> bool:
        """Return whether an evaluation, on whatever split, is by the column's protocol and speaks for its weights."""
        return one.protocol == self.protocol and one.speaks(self.report)


@dataclass(frozen=True)
class Factor:
    """A factor of a plan, which is on or off in a row.

    Attributes:
        label: Label in the table.
        without: Changes, by path, of rows in which it is off.
        with_: Changes of rows in which it is on.
        needs: Keys of the factors that must be on with it.
    """

    label: str
    without: dict[str, Any]
    with_: dict[str, Any]
    needs: tuple[str, ...]


def read_columns(values: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns of a plan file.

    Raises:
        Fault: There are no columns.
    """
    columns = []
    for key, value in values.get("columns", {}).items():
        facts = (value.get("label", key), value["metric"], value.get("protocol", "train"), value.get("split", ""))
        columns.append(Column(key, *facts, value.get("report", "last")))
    if not columns:
        raise Fault("", 'needs columns, such as columns = dict(Seg=dict(metric="seg/best/mIoU"))')
    return tuple(columns)


def read_factors(values: Mapping[str, Any]) -> dict[str, Factor]:
    """Return the factors of a plan file by key.

    Raises:
        Fault: A factor changes nothing, or needs a factor that does not exist.
    """
    factors, given = {}, values.get("factors", {})
    for key, factor in given.items():
        where = f"factors.{key}"
        if not factor.get("without") and not factor.get("with_"):
            raise Fault(where, "changes nothing: give without={path: value} or with_={path: value}")
        needs = read_names(factor.get("needs", ()), given, f"{where}.needs")
        factors[key] = Factor(factor.get("label", key), factor.get("without", {}), factor.get("with_", {}), needs)
    return factors


def read_names(names: Sequence[Any], known: Iterable[str], where: str) -> tuple[str, ...]:
    """Return names in the order of the known names, if each is known and given once.

    Raises:
        Fault: A name is unknown, or given twice.
    """
    known = list(known)
    for i, name in enumerate(names):
        if name not in known:
            raise unknown(where, "names no factor", name, known)
        if name in names[:i]:
            raise Fault(where, f"names {name} twice")
    return tuple(name for name in known if name in names)
