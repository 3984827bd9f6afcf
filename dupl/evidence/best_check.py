"""Check that an evaluation in an archive is of the weights that training kept as the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dupl.errors import UserError

if TYPE_CHECKING:
    from dupl.runs.stored_run import StoredRun


def best_problem(run: StoredRun, config: Mapping[str, Any], evaluation: Any) -> str | None:
    """Return why the scalars of a run do not bear out that an evaluation is of its best checkpoint; None where they do.

    The best weights are of the first iteration with the highest value of the metric that the record of the best weights
    names, or else the recipe.

    Args:
        run: Of the archive.
        config: Of the run; empty where it cannot be read.
        evaluation: Row of `dupl.runs.frames.frame`.
    """
    name, kept = run.fingerprint, run.best_weights
    try:
        metric = kept.metric if kept else str(config["evaluation"]["best"])
        rows = [(row["iter"], row[metric]) for row in run.run.scalars() if _is_number(row.get(metric))]
    except (UserError, LookupError, TypeError) as error:
        return f"what the best checkpoint of run {name} was selected by cannot be read: {error}"
    if not rows:
        return f"the scalars of run {name} have no {metric}, by which its best checkpoint was selected"
    first = max(rows, key=lambda row: (row[1], -row[0]))
    if evaluation["iteration"] != first[0]:
        said = f"its best checkpoint is of iteration {evaluation['iteration']}"
        return f"{said}, the highest {metric} in the scalars of run {name} of {first[0]}"
    if kept is not None and not math.isclose(kept.value, first[1]):
        return f"its best checkpoint has {metric} {kept.value:.4f}, the scalars of run {name} {first[1]:.4f}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == value
