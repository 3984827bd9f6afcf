"""What may be logged on a tracker beside numbers: tables, histograms, pictures, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TrackedTable:
    """A table to log: names of columns, and rows of plain values."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Histogram:
    """Counts of the intervals between edges; there is one edge more than counts."""

    counts: Sequence[int]
    edges: Sequence[float]


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo with label maps to overlay.

    Attributes:
        image: RGB, uint8 (H, W, 3).
        caption: Below the photo.
        masks: Label maps by name, ids, uint8 (H, W).
        labels: Names of the label ids.
    """

    image: NDArray[np.uint8]
    caption: str = ""
    masks: Mapping[str, NDArray[np.uint8]] | None = None
    labels: Mapping[int, str] | None = None


@dataclass(frozen=True)
class Files:
    """Files to keep as an artifact.

    Attributes:
        name: Of the artifact.
        kind: "model", "dataset", ...
        paths: The files.
        aliases: Of this version.
    """

    name: str
    kind: str
    paths: Sequence[str]
    aliases: Sequence[str] = ()
