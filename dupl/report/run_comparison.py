"""Tables across runs, from the frames of a store.

Everywhere ``runs`` are groups of runs: fingerprints by label, such as the seeds of a row of a plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dupl.config.check import suggestion
from dupl.errors import UserError
from dupl.runs.evaluation_files import CLASS_COLUMNS, read_evaluation
from dupl.runs.metrics import iou

if TYPE_CHECKING:
    from pandas import DataFrame

Runs = Mapping[str, Sequence[str]]
MEASURES = ("IoU", "OA", "precision", "recall")  # per class


def validate_groups(runs: Runs) -> None:
    """Check that groups of runs are lists of fingerprints by label.

    Raises:
        UserError: They are something else, such as a single fingerprint.
    """
    if not isinstance(runs, Mapping) or any(isinstance(wanted, str) for wanted in runs.values()):
        raise UserError(f"runs is {runs!r}; give lists of fingerprints by label, such as {{'mine': ['0123456789ab']}}")


def present(frame: DataFrame, runs: Runs, what: str = "") -> dict[str, list[str]]:
    """Return the groups, each with the runs that a frame holds.

    Args:
        frame: With a column ``fingerprint``.
        runs: The wanted groups.
        what: What the frame holds of runs, for the message.

    Raises:
        UserError: A group has no run in the frame.
    """
    validate_groups(runs)
    known = set(frame["fingerprint"])
    found = {label: [one for one in wanted if one in known] for label, wanted in runs.items()}
    if missing := [label for label, have in found.items() if not have]:
        lacks = f": {what}" if what else ""
        raise UserError(f"the store has nothing of {', '.join(missing)}{lacks}; dupl runs lists its runs")
    return found


def courses(frame: DataFrame, metric: str, runs: Runs) -> DataFrame:
    """Return a metric over training: one row per label and iteration, with mean, low and high over the runs.

    Args:
        frame: Metrics, as a store's ``frame``; the evaluations in training are used.
        metric: Such as "cam/1/mIoU".
        runs: Groups.
    """
    import pandas as pd

    part = frame[(frame["protocol"] == "train") & (frame["metric"] == metric)]
    rows = []
    for label, wanted in present(part, runs, f"{metric} by the protocol train").items():
        values = part[part["fingerprint"].isin(wanted)].groupby("iteration")["value"]
        for t, found in values:
            rows.append((label, int(t), found.mean(), found.min(), found.max(), len(found)))
    return pd.DataFrame(rows, columns=["label", "iteration", "mean", "low", "high", "runs"])


def logged_courses(scalars: DataFrame, metric: str, runs: Runs) -> DataFrame:
    """Return what runs logged over training, such as a metric of their evaluations, in the form of `courses`.

    Args:
        scalars: As a store's ``scalars``.
        metric: Such as "cam/best/mIoU-7" or "tau_h".
        runs: Groups.

    Raises:
        UserError: No run logged the metric; the message names what is closest.
    """
    if metric not in scalars:
        known = [str(name) for name in scalars.columns if name not in ("run", "fingerprint", "seed", "iter")]
        raise UserError(f"no run logged {metric!r}{suggestion(metric, known)}")
    values = scalars.dropna(subset=[metric]).rename(columns={"iter": "iteration", metric: "value"})
    return courses(values.assign(protocol="train", metric=metric), metric, runs)


def image_classes(pixels: DataFrame, label_map: str) -> DataFrame:
    """Return the rows of a label map whose class is in the mask of the image, with a column ``IoU`` in percent.

    Args:
        pixels: TP, FP and FN per image and class, as a store's ``per_image``.
        label_map: Such as "seg/1".
    """
    part = pixels[(pixels["map"] == label_map) & (pixels["TP"] + pixels["FN"] > 0)]
    return part.assign(IoU=iou(*(part[name].to_numpy() for name in ("TP", "FP", "FN"))))


def class_table(counts: DataFrame, label_map: str, measure: str, runs: Runs) -> DataFrame:
    """Return a measure per class: a row per class, a column per label, the mean over its runs; NaN where none has one.

    Args:
        counts: Pixels per class, as a store's ``counts``, from one evaluation of each run.
        label_map: Such as "cam/1".
        measure: A column of it: "IoU", "OA", "precision" or "recall".
        runs: Groups.

    Raises:
        UserError: There is no such measure, a group has no run, or a run has several evaluations.
    """
    import pandas as pd

    if measure not in MEASURES:
        raise UserError(f"measure is {measure!r}; give one of {', '.join(MEASURES)}")
    part = counts[counts["map"] == label_map]
    if (part.groupby(["fingerprint", "class"]).size() > 1).any():
        raise UserError("several evaluations of one run: ask the store for one protocol and split")
    classes = list(dict.fromkeys(part["class"]))
    columns = {}
    for label, wanted in present(part, runs, f"{label_map} per class").items():
        columns[label] = part[part["fingerprint"].isin(wanted)].groupby("class")[measure].mean().reindex(classes)
    return pd.DataFrame(columns, index=pd.Index(classes, name="class"))


def folder_rates(folder: str | Path, label_map: str, measure: str) -> dict[str, float]:
    """Return a measure by class from an evaluation outside the store, such as that of a published checkpoint.

    Args:
        folder: With its files, as ``dupl eval --out`` writes them.
        label_map: Such as "cam/1".
        measure: "IoU", "OA", "precision" or "recall".

    Raises:
        UserError: The folder holds no evaluation, or not this map.
    """
    rows = read_evaluation(Path(folder)).per_class
    found = {row.class_name: getattr(row, CLASS_COLUMNS[measure]) for row in rows if row.label_map == label_map}
    if not found:
        raise UserError(f"{folder} has nothing of {label_map}")
    return found
