"""Find runs of a list that were evaluated on other data than the others of their recipe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dupl.runs.ids import ID
from dupl.runs.listing import RunLine


def on_other_data(lines: Iterable[RunLine]) -> set[Path]:
    """Return the folders of runs whose evaluation read other data than the newest evaluation of the same recipe.

    Their metrics cannot be compared with those of the others. Evaluations whose data were not recorded do not count.

    Args:
        lines: Of the runs; those of one recipe have folders of the same name but for the id.
    """
    groups: dict[str, list[RunLine]] = {}
    for line in lines:
        if line.read:
            groups.setdefault(ID.sub("", line.path.name), []).append(line)
    newest = {name: max(group, key=lambda line: line.evaluated).read for name, group in groups.items()}
    return {line.path for name, group in groups.items() for line in group if line.read != newest[name]}
