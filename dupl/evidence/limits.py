"""What limits a number that is proven: few seeds, and choices made on the data that it is reported on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dupl.report.tables.statistics import P_SEEDS, THREE_STAR_SEEDS
from dupl.terminal import counted

if TYPE_CHECKING:
    from dupl.evidence.recompute import Recomputed
    from dupl.plans.plan import Column, Row


def limits_of(found: Recomputed, row: Row, column: Column) -> list[str]:
    """Return what limits the number of a cell."""
    cell = found.table.cells[row.key, column.key]
    seeds, lines = len(cell.values), list[str]()
    if seeds == 1:
        lines.append("one seed: nothing is known of other seeds")
    elif seeds < P_SEEDS:
        lines.append(f"{seeds} seeds: no p value")
    elif seeds < THREE_STAR_SEEDS:
        lines.append(f"{seeds} seeds")
    lines += [rule.text for rule in found.table.selection.get(column.key, ())]
    if found.archived.source == "sweep":
        lines.append(f"one of {counted(len(found.archived.trials), 'trial')} of a search by this split")
    if any(commit.endswith("+") for commit in cell.commits):
        lines.append("code with changes that no commit holds")
    if any(name in found.archived.earlier for name in cell.fingerprints):
        lines.append("trained by an earlier version, which recorded less")
    if caution := found.table.cautions.get(column.key):
        lines.append(caution)
    return lines
