"""The record of a run's best weights: which iteration training kept, and by which metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.files import read_json, write_json


@dataclass(frozen=True)
class BestWeights:
    """The weights that training kept as the best.

    Attributes:
        iteration: Of the weights.
        metric: Metric of the evaluations on ``data.val`` by which they were chosen, such as "seg/best/mIoU".
        value: Value of the metric at that iteration.
    """

    iteration: int
    metric: str
    value: float


def record_best(run: Path, best: BestWeights) -> None:
    """Write which iteration the file of the best weights is of, after that file was written."""
    write_json(run / layout.BEST_RECORD, {"iter": best.iteration, "metric": best.metric, "value": best.value})


def recorded_best(run: Path) -> BestWeights | None:
    """Return which weights a run kept as the best; None where no usable record says so."""
    try:
        facts = read_json(run / layout.BEST_RECORD)
        iteration, metric, value = facts["iter"], facts["metric"], facts["value"]
    except (UserError, LookupError, TypeError):
        return None
    numbers = type(iteration) is int and isinstance(value, (int, float)) and math.isfinite(value)
    if not numbers or iteration < 0 or not isinstance(metric, str):
        return None
    return BestWeights(iteration, metric, float(value))


def has_best(run: Path) -> bool:
    """Return whether a run kept best weights; an archive of evidence has their record alone."""
    return (run / layout.BEST).is_file() or recorded_best(run) is not None
