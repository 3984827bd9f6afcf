"""The files of one evaluation: writing and reading them, columns by name."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dupl import cells
from dupl.atomic import read_regular
from dupl.errors import UserError
from dupl.runs import layout
from dupl.runs.files import read_csv, read_json, write_csv, write_json
from dupl.runs.metrics import ClassTable
from dupl.runs.tallies import Counts, Tally

if TYPE_CHECKING:
    pass

CLASS_COLUMNS = {  # of the table per class, and the attributes of its rows
    "map": "label_map",
    "class": "class_name",
    "IoU": "iou",
    "precision": "precision",
    "recall": "recall",
    "OA": "oa_rate",
    "pixels": "pixels",
}
IMAGE_COLUMNS = ("map", "image", "class", "TP", "FP", "FN")
LARGEST = 2**53  # a larger number is no count of pixels


@dataclass(frozen=True)
class ClassRow:
    """The figures of one class in one label map, in percent; NaN where there is nothing to divide by.

    Attributes:
        label_map: Such as "cam/1" or "seg/mean".
        class_name: Of the class.
        iou: NaN for a class that the truth does not contain.
        precision, recall: Of the class's pixels.
        oa_rate: Over-activation rate, FP / (TP + FP).
        pixels: Pixels of truth.
    """

    label_map: str
    class_name: str
    iou: float = math.nan
    precision: float = math.nan
    recall: float = math.nan
    oa_rate: float = math.nan
    pixels: float = math.nan


@dataclass(frozen=True)
class EvaluationFiles:
    """What the files of an evaluation hold, but for the pixels per image.

    Attributes:
        facts: The metrics file without its metrics: protocol, data, seconds, ...
        metrics: By name, NaN where there was nothing to measure.
        per_class: One row for each label map and class.
    """

    facts: dict[str, Any]
    metrics: dict[str, float]
    per_class: list[ClassRow]


def class_rows(tallies: Mapping[str, Tally], classes: Sequence[str]) -> list[ClassRow]:
    """Return the figures of every label map and class.

    Args:
        tallies: Counts by label map.
        classes: Names, background first.
    """
    found = []
    for label_map, tally in tallies.items():
        table = ClassTable.of(tally.matrix)
        columns = zip(classes, table.iou, table.precision, table.recall, table.oa_rate, table.pixels, strict=True)
        for name, iou, precision, recall, oa_rate, pixels in columns:
            figures = (float(iou), float(precision), float(recall), float(oa_rate))
            found.append(ClassRow(label_map, name, *figures, int(pixels)))
    return found


def write_evaluation(
    folder: Path,
    facts: Mapping[str, Any],
    metrics: Mapping[str, float],
    tallies: Mapping[str, Tally],
    classes: Sequence[str],
    images: Sequence[str],
) -> None:
    """Write the files of an evaluation: metrics, figures per class, pixels per image, and confusion.

    Args:
        folder: Of the evaluation; it is made where it is missing.
        facts: What stands beside the metrics: protocol, data, seconds, ...
        metrics: By name, in percent.
        tallies: Counts by label map.
        classes: Names, background first.
        images: Names, in the order of the counts per image.
    """
    write_json(folder / layout.METRICS, {**facts, "metrics": dict(metrics)})
    rows = [tuple(getattr(row, name) for name in CLASS_COLUMNS.values()) for row in class_rows(tallies, classes)]
    write_csv(folder / layout.PER_CLASS, list(CLASS_COLUMNS), rows)
    pixels = (
        (label_map, images[i], classes[c], tp, fp, fn)
        for label_map, tally in tallies.items()
        for i, c, tp, fp, fn in np.concatenate(tally.per_image).tolist()
    )
    write_csv(folder / layout.PER_IMAGE, list(IMAGE_COLUMNS), pixels)
    matrices = [
        (label_map, classes[c], *row)
        for label_map, tally in tallies.items()
        for c, row in enumerate(tally.matrix.tolist())
    ]
    write_csv(folder / layout.CONFUSION, ["map", "truth", *classes], matrices)


def read_evaluation(folder: Path) -> EvaluationFiles:
    """Read facts, metrics and the figures per class of an evaluation.

    Raises:
        UserError: A file is missing or corrupt.
    """
    try:
        facts, metrics = read_metrics(folder)
        return EvaluationFiles(facts, metrics, read_per_class(folder))
    except (UserError, OSError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{folder} holds no complete evaluation ({error}): run dupl eval") from error


def read_metrics(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Read the metrics file of an evaluation.

    Returns:
        The facts beside the metrics, and the metrics by name, NaN where there was nothing to measure.

    Raises:
        UserError: The file is missing or no JSON.
        ValueError, TypeError, KeyError, AttributeError: It holds no facts and metrics.
    """
    facts = dict(read_json(folder / layout.METRICS))
    metrics = facts.pop("metrics")
    return facts, {str(name): math.nan if value is None else float(value) for name, value in metrics.items()}


def read_per_class(folder: Path) -> list[ClassRow]:
    """Read the figures per class of an evaluation.

    Raises:
        OSError: The file is missing or cannot be read.
        ValueError: A column is missing, or a figure is no number.
    """
    rows = read_csv(folder / layout.PER_CLASS)
    if rows and (missing := [name for name in CLASS_COLUMNS if name not in rows[0]]):
        raise ValueError(f"{layout.PER_CLASS} has no column {', '.join(missing)}")
    figures = {name: key for name, key in CLASS_COLUMNS.items() if name not in ("map", "class")}
    return [
        ClassRow(row["map"], row["class"], **{key: _number(row[name]) for name, key in figures.items()}) for row in rows
    ]


def read_confusion(folder: Path) -> tuple[list[str], dict[str, Counts]]:
    """Read the confusion matrices of an evaluation.

    Returns:
        The names of the classes, and by label map the matrix (truth, prediction), in pixels.

    Raises:
        OSError: The file is missing or cannot be read.
        ValueError: The file was cut off, or is no square matrix of whole numbers for each map.
    """
    name = layout.CONFUSION
    try:
        header, *rows = csv.reader(io.StringIO(complete_bytes(folder / name).decode()))
    except csv.Error as error:
        raise ValueError(f"{name} is corrupt: {error}") from None
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"{name} is corrupt: its rows are not as long as its header")
    header = list(map(cells.read, header))
    classes = header[2:]
    try:
        matrices = np.array([row[2:] for row in rows], dtype=np.int64).reshape(-1, len(classes), len(classes))
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is corrupt: no square matrix of whole numbers for each map") from None
    if header[:2] != ["map", "truth"] or [cells.read(row[1]) for row in rows] != classes * len(matrices):
        raise ValueError(f"{name} is corrupt: its classes are not in order")
    return classes, {rows[k * len(classes)][0]: matrix for k, matrix in enumerate(matrices)}


def complete_bytes(path: Path) -> bytes:
    """Read a file that ends with a whole line.

    Raises:
        OSError: It is missing or cannot be read.
        ValueError: It was cut off.
    """
    data = read_regular(path)
    if not data.endswith(b"\n"):
        raise ValueError(f"{path.name} is cut off")
    return data


def _number(cell: str) -> float:
    value = float(cell) if cell else math.nan
    if abs(value) >= LARGEST:
        raise ValueError(f"{cell[:40]} is no valid number")
    return value
