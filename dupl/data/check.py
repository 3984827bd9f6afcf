"""Looks at every file of a data set before training and reports all that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dupl.data.base import ImageSet
from dupl.errors import UserError
from dupl.structures import IGNORE

Progress = Callable[[int, int], None]
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes:
        severity: "error" makes training or evaluation wrong or impossible, "warning" may be as intended.
        split: Split it was found in.
        file: The file, or the image's name where it has no file.
        message: What is wrong and what to do.
    """

    severity: Severity
    split: str
    file: str
    message: str


@dataclass
class Report:
    """What a check found.

    Attributes:
        problems: In the order of splits and images.
        counts: Per split: "images", "masks", "untagged" (images with no tag), "in mask, not in tags" and
            "in tags, not in mask" (pairs of image and class).
        class_counts: Per split: images that carry the tag, per foreground class.
    """

    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    class_counts: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """Number of errors."""
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings are allowed."""
        return self.errors == 0

    def lines(self, limit: int | None = 50) -> list[str]:
        """Return the report as plain text: errors, warnings (at most `limit` of each), counts."""
        text: list[str] = []
        for severity in ("error", "warning"):
            found = [problem for problem in self.problems if problem.severity == severity]
            text += [f"{severity:<7}  {p.split}  {p.file}: {p.message}" for p in found[:limit]]
            if limit is not None and len(found) > limit:
                text.append(f"{severity:<7}  ... and {len(found) - limit} more")
        splits = list(self.counts)
        width = max(
            [
                len("in mask, not in tags"),
                *(len(name) for rows in self.class_counts.values() for name in rows),
            ]
        )
        text.append(" ".join([" " * width, *(f"{split:>8}" for split in splits)]))
        for table in (self.counts, self.class_counts):
            for row in dict.fromkeys(row for rows in table.values() for row in rows):
                cells = (table[split].get(row, "–") for split in splits)
                text.append(
                    " ".join(
                        [
                            f"{row:<{width}}",
                            *(f"{cell:>{max(8, len(split))}}" for cell, split in zip(cells, splits, strict=True)),
                        ]
                    )
                )
        warnings = len(self.problems) - self.errors
        text.append(f"{self.errors} errors, {warnings} warnings")
        return text


def check_dataset(source: ImageSet, progress: Progress | None = None) -> Report:
    """Check one data set; see `check_datasets`."""
    return check_datasets({str(getattr(source, "split", None) or "all"): source}, progress)


def check_datasets(sources: Mapping[str, ImageSet], progress: Progress | None = None) -> Report:
    """Read every image, tag and mask of the given splits and report all that is wrong.

    Args:
        sources: Data sets by the name of their split. Images that "train" shares with another split,
            and class lists that differ, are errors; a class without any image in "train" is a warning.
        progress: Called with (images done, images in all) after each image.
    """
    report = Report()
    total, done = sum(len(source) for source in sources.values()), 0
    for split, source in sources.items():
        counts = dict.fromkeys(("images", "masks", "untagged", "in mask, not in tags", "in tags, not in mask"), 0)
        report.counts[split] = counts
        tagged = np.zeros(source.K, np.int64)
        seen: set[str] = set()
        for i in range(len(source)):
            found = list(_check_item(source, i, counts, tagged))
            if source.names[i] in seen:
                found.append(("error", "it is listed twice in this split; remove one of the lines"))
            seen.add(source.names[i])
            report.problems += [Problem(severity, split, source.where(i), text) for severity, text in found]
            done += 1
            if progress is not None:
                progress(done, total)
        report.class_counts[split] = dict(zip(source.classes[1:], tagged.tolist(), strict=True))
    report.problems += _check_between(sources, report)
    return report


def _check_item(
    source: ImageSet, i: int, counts: dict[str, int], tagged: NDArray[np.int64]
) -> Iterator[tuple[Severity, str]]:
    """Check one image with its tags and its mask; add to the counts in place."""
    counts["images"] += 1
    image = tags = mask = None
    try:
        image = source.image(i)
    except UserError as error:
        yield "error", str(error)
    try:
        tags = source.tags(i)
    except UserError as error:
        yield "error", str(error)
    try:
        mask = source.mask(i)
        if mask is None and source.has_masks:
            yield "warning", "it has no mask, though other images have; it is left out of the evaluation"
    except UserError as error:
        yield "error", str(error)

    if tags is not None:
        tagged += tags.astype(np.int64)
        if not tags.any():
            counts["untagged"] += 1
            yield "warning", "it has no tag: it trains as background only"
    if mask is not None:
        counts["masks"] += 1
        if image is not None and image.shape[:2] != mask.shape:
            sizes = [f"{width} x {height}" for height, width in (image.shape[:2], mask.shape)]
            yield "error", f"the image is {sizes[0]} pixels and its mask {sizes[1]}; make them the same size"
        yield from _check_labels(source, mask, tags, counts)


def _check_labels(
    source: ImageSet, mask: NDArray[np.uint8], tags: NDArray[np.float32] | None, counts: dict[str, int]
) -> Iterator[tuple[Severity, str]]:
    """Compare the labels of a mask with the classes there are and with the image's tags."""
    areas = np.bincount(mask.ravel(), minlength=256)
    strange = np.flatnonzero(areas[source.K + 1 : IGNORE]) + source.K + 1
    if strange.size:
        ids = ", ".join(map(str, strange))
        yield "error", f"its mask holds labels {ids}; classes have 0..{source.K}, void {IGNORE}"
    if tags is None:
        return
    drawn, stated = areas[1 : source.K + 1] > 0, tags > 0
    for kind, message, wrong in (
        ("in mask, not in tags", "its mask shows {} but its tags do not", drawn & ~stated),
        ("in tags, not in mask", "its tags name {} but its mask does not show it", stated & ~drawn),
    ):
        if wrong.any():
            counts[kind] += int(wrong.sum())
            yield "warning", message.format(", ".join(source.classes[k + 1] for k in np.flatnonzero(wrong)))


def _check_between(sources: Mapping[str, ImageSet], report: Report) -> Iterator[Problem]:
    """Check what no single image shows: leaks from train, class lists, absent classes, absent masks."""
    train = sources.get("train")
    for split, source in sources.items():
        if not source.has_masks and split != "train":
            yield Problem("warning", split, split, "no image has a mask: it cannot be evaluated")
        if train is None or split == "train":
            continue
        if source.classes != train.classes:
            yield Problem("error", split, split, "its classes are not those of train; name the same")
        for name in sorted(set(train.names) & set(source.names)):
            yield Problem("error", split, name, "it is in train too: the score flatters; take it off one list")
    for name, number in report.class_counts.get("train", {}).items():
        if number == 0:
            yield Problem("warning", "train", name, "no training image has this tag: it cannot be learnt")
