"""Scoring label maps that another program wrote: PNG files by the names of a data set's images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dupl.data.base import ImageSet
from dupl.data.file_digests import file_digests
from dupl.data.files import read_mask
from dupl.engine.evaluation.protocol import Labels
from dupl.engine.evaluation.result import ClassScores, EvaluationResult, count_image, metrics_of
from dupl.errors import UserError
from dupl.runs.tallies import Tally
from dupl.structures import IGNORE
from dupl.terminal import counted

VOID = ("refuse", "background", "ignore")


def read_labels(path: Path, classes: Sequence[str], shape: Sequence[int] | None) -> Labels:
    """Read a label map of another program, (H, W); 255 marks undecided pixels.

    Args:
        path: The file.
        classes: Class names by label id, background first.
        shape: H and W of the image; None takes the map's own.

    Raises:
        UserError: It cannot be read, is of another size, or holds a value that is no class.
    """
    labels = read_mask(path)
    if shape is not None and labels.shape != tuple(shape):
        sizes = "x".join(map(str, labels.shape[::-1])), "x".join(map(str, tuple(shape)[::-1]))
        raise UserError(f"{path} has {sizes[0]} pixels, its mask {sizes[1]}: write it at the size of the photo")
    wrong = labels[(labels >= len(classes)) & (labels != IGNORE)]
    if wrong.size:
        raise UserError(
            f"{path} holds the value {wrong.max()}, which is no class: write 0 (background) to {len(classes) - 1} "
            "in the order of the data set's classes, or 255 for undecided pixels"
        )
    return labels


@dataclass
class LabelMaps:
    """A folder of label maps beside the data set that they label.

    Attributes:
        folder: Holds ``NAME.png`` for each image that has a mask.
        source: The data set.
        kind: What the maps are: "seg" (segmentations) or "cam" (pseudo-labels from CAMs).
        void: What the value 255 means where the mask has a class: "refuse" (an error), "background", or "ignore" (the
            pixel is left out of the counts).
        undecided: Pixels with 255 so far, of those whose mask has a class.
        pixels: Pixels so far whose mask has a class.
    """

    folder: Path
    source: ImageSet
    kind: str = "seg"
    void: str = "refuse"
    undecided: int = 0
    pixels: int = 0

    def __post_init__(self) -> None:
        """Check that the folder has a file for every image that will be counted.

        Raises:
            UserError: It is no folder, or a file is missing.
        """
        if not self.folder.is_dir():
            raise UserError(f"there is no folder {self.folder}: give the folder of the label maps (--masks DIR)")
        self.judged = [i for i in range(len(self.source)) if self._has_mask(i)]
        missing = [i for i in self.judged if not self.file(i).is_file()]
        if missing:
            count = counted(len(missing), "image")
            raise UserError(
                f"{self.folder} has no label map of {count} of {len(self.judged)}: the first is "
                f"{self.file(missing[0])}; write one PNG for each image of the split, named like the image"
            )

    def _has_mask(self, i: int) -> bool:
        return self.source.mask_file(i) is not None or self.source.photo_file(i) is None

    def file(self, i: int) -> Path:
        """Return the file of the label map of image i."""
        return self.folder / f"{self.source.names[i]}.png"

    def digest(self) -> list[str]:
        """Return the digests of the files that are counted."""
        return file_digests([self.file(i) for i in self.judged])

    def read(self, i: int) -> Labels:
        """Read the label map of image i; see `read_labels`."""
        truth = self.source.mask(i)
        return read_labels(self.file(i), self.source.classes, None if truth is None else truth.shape)

    def count(self, i: int, tally: Tally) -> None:
        """Add an image to a tally; one without a mask is left out."""
        truth = self.source.mask(i)
        if truth is None:
            return
        labels, valid = read_labels(self.file(i), self.source.classes, truth.shape), truth != IGNORE
        undecided = (labels == IGNORE) & valid
        self.pixels += int(valid.sum())
        self.undecided += int(undecided.sum())
        if self.void == "refuse" and undecided.any():
            raise UserError(
                f"{self.file(i)} holds 255 in {int(undecided.sum())} pixels that its mask gives a class: say what "
                "they are by void (--void background, or --void ignore to leave them out of the counts)"
            )
        if self.void == "ignore":
            truth = np.where(undecided, np.uint8(IGNORE), truth)
        count_image(tally, self.source, i, truth, np.where(labels == IGNORE, np.uint8(0), labels))

    def title(self) -> str:
        """Return how the maps were scored, for tables and pictures."""
        share = 100 * self.undecided / self.pixels if self.pixels else 0.0
        what = {"background": "counted as background", "ignore": "left out"}.get(self.void, "")
        return "label maps as given" + (f", {share:.1f} % of pixels undecided and {what}" if share else "")


def score(maps: LabelMaps, settings: dict[str, Any], progress: Callable[[int, int], None] | None) -> EvaluationResult:
    """Count the pixels of label maps against the masks of a data set, image by image.

    Args:
        maps: The label maps.
        settings: The recipe's ``evaluation``: subset.
        progress: Called with images done and in all.

    Raises:
        UserError: A file is missing, unreadable, of another size, or holds values that are no class.
    """
    source, started = maps.source, time.monotonic()
    tallies = {f"{maps.kind}/1": Tally(len(source.classes))}
    for done, i in enumerate(maps.judged, 1):
        maps.count(i, tallies[f"{maps.kind}/1"])
        if progress is not None:
            progress(done, len(maps.judged))
    scores = ClassScores.of([], 1, source.K)
    metrics = metrics_of(tallies, scores, source.classes, settings)
    return EvaluationResult(metrics, tallies, scores, source.classes, source.names, time.monotonic() - started)
