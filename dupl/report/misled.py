"""Which student ended misled on which class, and whether the detector said so during training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dupl.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

LOW = 25.0  # percent: a misled student's IoU is below this
SHARE = 0.5  # and below this share of the other student's
STUDENTS = (1, 2)


def label_pairs(counts: DataFrame, classes: Sequence[str] = ()) -> DataFrame:
    """Label every pair of student and class by the final CAMs: misled, or sound.

    A pair is misled where the IoU of the CAM is below 25 % and below half of the other student's. True masks serve this
    label alone; the detector reads tags.

    Args:
        counts: Pixels per class of one evaluation of each run, as a store's ``counts``.
        classes: Foreground classes to label; all that the masks contain where empty.

    Returns:
        A row per run, student and class: ``fingerprint``, ``student``, ``class``, ``IoU``, ``other`` and ``misled``.
    """
    import pandas as pd

    tables = [
        counts[counts["map"] == f"cam/{student}"].set_index(["fingerprint", "class"])["IoU"] for student in STUDENTS
    ]
    both = pd.concat(tables, axis=1, keys=STUDENTS, join="inner").dropna()
    kept = [c for c in both.index.get_level_values("class") if (c in classes if classes else c != "background")]
    both = both[both.index.get_level_values("class").isin(kept)]
    rows = []
    for (fingerprint, name), own in both.iterrows():
        for student, other in (STUDENTS, STUDENTS[::-1]):
            iou, reference = float(own[student]), float(own[other])
            rows.append((fingerprint, student, name, iou, reference, iou < LOW and iou < SHARE * reference))
    return pd.DataFrame(rows, columns=["fingerprint", "student", "class", "IoU", "other", "misled"])


def with_detector(pairs: DataFrame, scalars: DataFrame, iteration: int, below: float) -> DataFrame:
    """Add what the detector said of each pair by an iteration.

    Args:
        pairs: As from ``label_pairs``.
        scalars: What the runs logged, as a store's ``scalars``.
        iteration: Rows up to this one count; the last of them speaks.
        below: A mean below this is an alarm.

    Returns:
        The pairs with ``detector``, NaN where it had measured too little, and ``alarm``.
    """
    rows = scalars[scalars["iter"] <= iteration].sort_values("iter")
    last = {fingerprint: part.ffill().iloc[-1] for fingerprint, part in rows.groupby("fingerprint")}
    values = [
        last[p.fingerprint].get(f"detector/{p.student}/{p.name_}") if p.fingerprint in last else None
        for p in pairs.rename(columns={"class": "name_"}).itertuples()
    ]
    found = pairs.assign(detector=values)
    found["detector"] = found["detector"].astype(float)
    return found.assign(alarm=found["detector"] < below)


def detector_rates(pairs: DataFrame) -> dict[str, int]:
    """Count what the detector found: ``misled`` pairs, those ``found``, ``sound`` pairs and ``false_alarms``.

    Args:
        pairs: As from ``with_detector``.

    Raises:
        UserError: The pairs have no column of alarms.
    """
    if "alarm" not in pairs:
        raise UserError("pairs has no column 'alarm'; give what dupl.misled_students returns")
    misled, alarm = pairs["misled"], pairs["alarm"]
    return {
        "misled": int(misled.sum()),
        "found": int((misled & alarm).sum()),
        "sound": int((~misled).sum()),
        "false_alarms": int((~misled & alarm).sum()),
    }
