"""Checking every file of a data set before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dupl.data.base import ImageSet
from dupl.data.check_report import COUNTS, Problem, Report, Severity
from dupl.data.mask_summary import MaskSummary, with_hint
from dupl.data.quick_check import photo_identities, shared_with_train
from dupl.errors import UserError
from dupl.structures import IGNORE

Progress = Callable[[int, int], None]
Finding = tuple[Severity, str]
Value = TypeVar("Value")


def check_dataset(source: ImageSet, progress: Progress | None = None) -> Report:
    """Check one data set; see `check_datasets`."""
    return check_datasets({str(getattr(source, "split", None) or "all"): source}, progress)


def check_datasets(sources: Mapping[str, ImageSet], progress: Progress | None = None) -> Report:
    """Read every image, tag and mask of the given splits and report all problems.

    Args:
        sources: Data sets by the name of their split. Images that "train" shares with another split,
            and class lists that differ, are errors; a class without any image in "train" is a warning.
        progress: Called with (images done, images in all) after each image.
    """
    report = Report()
    total, done = sum(len(source) for source in sources.values()), 0
    for split, source in sources.items():
        report.counts[split] = counts = dict.fromkeys(COUNTS, 0)
        tagged = np.zeros(source.K, np.int64)
        seen: set[str] = set()
        summary = MaskSummary(len(source), 0)
        for i in range(len(source)):
            found = list(_check_item(source, i, counts, tagged, summary))
            if source.names[i] in seen:
                found.append(("error", "it is listed twice in this split; remove one of the lines"))
            seen.add(source.names[i])
            report.problems += [Problem(severity, split, source.where(i), text) for severity, text in found]
            done += 1
            if progress is not None:
                progress(done, total)
        if source.class_note:
            report.classes[split] = source.class_note
        if summary.masks:
            report.masks[split] = with_hint(summary.line(source.classes), summary, source)
        report.class_counts[split] = dict(zip(source.classes[1:], tagged.tolist(), strict=True))
    report.problems += _check_across_splits(sources, report)
    return report


def _check_item(
    source: ImageSet, i: int, counts: dict[str, int], tagged: NDArray[np.int64], summary: MaskSummary
) -> Iterator[Finding]:
    """Check one image with its tags and its mask; add to the counts in place."""
    counts["images"] += 1
    failures: list[Finding] = []
    image, tags = _read(source.image, i, failures), _read(source.tags, i, failures)
    readable = len(failures)
    mask = _read(source.mask, i, failures)
    yield from dict.fromkeys(failures)  # a mask that follows the orientation of its image reads that too
    if mask is None and source.has_masks and len(failures) == readable:
        yield "warning", "it has no mask, though other images have one; it is left out of the evaluation"
    if tags is not None:
        tagged += tags.astype(np.int64)
        if not tags.any():
            counts["untagged"] += 1
            yield "warning", "it has no tag: it trains as background only"
    if mask is not None:
        counts["masks"] += 1
        summary.masks += 1
        summary.add(mask)
        if image is not None and image.shape[:2] != mask.shape:
            sizes = [f"{width} x {height}" for height, width in (image.shape[:2], mask.shape)]
            yield "error", f"the image is {sizes[0]} pixels and its mask {sizes[1]}; make them the same size"
        yield from _check_labels(source, mask, tags, counts)


def _read(read: Callable[[int], Value], i: int, failures: list[Finding]) -> Value | None:
    """Return what one of a data set's methods reads for image i; add what goes wrong to the failures."""
    try:
        return read(i)
    except UserError as error:
        failures.append(("error", str(error)))
        return None


def _check_labels(
    source: ImageSet, mask: NDArray[np.uint8], tags: NDArray[np.float32] | None, counts: dict[str, int]
) -> Iterator[Finding]:
    """Compare the labels of a mask with the existing classes and with the image's tags."""
    areas = np.bincount(mask.ravel(), minlength=256)
    unknown = np.flatnonzero(areas[source.K + 1 : IGNORE]) + source.K + 1
    if unknown.size:
        ids = ", ".join(map(str, unknown))
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


def _check_across_splits(sources: Mapping[str, ImageSet], report: Report) -> Iterator[Problem]:
    """Check what no single image shows: images shared with train, class lists, absent classes, absent masks."""
    train = sources.get("train")
    for split, source in sources.items():
        if not source.has_masks and split != "train":
            hint = f"; {places}" if (places := source.mask_hint()) else ""
            yield Problem("warning", split, split, f"no image has a mask: its tags alone (mAP, F1) judge it{hint}")
        if train is None or split == "train":
            continue
        if source.classes != train.classes:
            yield Problem("error", split, split, "its classes are not those of train; use the same in both")
        for name in shared_with_train(train, source, photo_identities(train), photo_identities(source)):
            yield Problem("error", split, name, "it is in train too, so scores are too high; remove it from one list")
    for name, number in report.class_counts.get("train", {}).items():
        if number == 0:
            yield Problem("warning", "train", name, "no training image has this tag: it cannot be learnt")
