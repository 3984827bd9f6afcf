"""Evaluation by any protocol: one loop over images that counts, and what is written of the counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dupl.data.base import ImageSet
from dupl.data.mask_summary import MaskSummary
from dupl.engine.error_explanations import plain_errors
from dupl.engine.evaluation.protocols import Labelled, Protocol, Squashed, Who
from dupl.errors import UserError
from dupl.execute.heartbeat import beat
from dupl.method.base import Method
from dupl.runs.evaluation_files import ClassRow, class_rows, write_evaluation
from dupl.runs.metrics import summarise, tag_scores
from dupl.runs.tallies import Tally

Progress = Callable[[int, int], None]
PROTOCOL = "squashed, no CRF"  # of training time
NO_MASKS = "evaluation needs masks, and the data set has none: training and inference work without"


@dataclass(frozen=True)
class Guesses:
    """What the students say of whole images.

    Attributes:
        images: Positions of N images in the data set, ascending.
        tags: The truth, (N, K) of 0/1.
        scores: Of every student, before the sigmoid, (students, N, K).
    """

    images: NDArray[np.int64]
    tags: NDArray[np.float32]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, found: list[Labelled], students: int, K: int) -> Guesses:
        """From what a protocol says of each image; empty where it does not classify."""
        rows = [(f.index, f.tags, f.scores) for f in found if f.tags is not None and f.scores is not None]
        tags = torch.stack([torch.zeros(K), *(t for _, t, _ in rows)])[1:]
        scores = torch.stack([torch.zeros(students, K), *(s for _, _, s in rows)], 1)[:, 1:]
        return cls(np.array([i for i, _, _ in rows], np.int64), tags.numpy(), scores.numpy())

    @classmethod
    def merge(cls, parts: list[Guesses]) -> Guesses:
        """All parts, in the order of the data set."""
        images = np.concatenate([p.images for p in parts])
        order = np.argsort(images, kind="stable")
        tags, scores = np.concatenate([p.tags for p in parts]), np.concatenate([p.scores for p in parts], 1)
        return cls(images[order], tags[order], scores[:, order])


@dataclass
class Evaluation:
    """What an evaluation found.

    Attributes:
        metrics: In percent, by name (``cam/1/mIoU``).
        tallies: Counts by kind and student.
        guesses: Class scores beside the tags.
        classes: Names, background first.
        names: Of the images, in the order of the per-image counts.
        seconds: Wall time.
    """

    metrics: dict[str, float]
    tallies: dict[str, Tally]
    guesses: Guesses
    classes: tuple[str, ...]
    names: list[str]
    seconds: float

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write the files of the evaluation; see `dupl.runs.evaluation_files.write_evaluation`."""
        facts = {**facts, "seconds": round(self.seconds, 3)}
        write_evaluation(folder, facts, self.metrics, self.tallies, self.classes, self.names)

    @property
    def judged(self) -> str:
        """Say how many images and classes have truth, and what that means for the mIoU, in one line."""
        tally = next(iter(self.tallies.values()), None)
        if tally is None:
            return MaskSummary(len(self.names), 0).line(self.classes)
        areas = np.zeros(256, np.int64)
        areas[: len(self.classes)] = tally.matrix.sum(1)
        masks = len(tally.per_image)
        return MaskSummary(len(self.names), masks, masks, areas).line(self.classes)

    def class_rows(self) -> list[ClassRow]:
        """Return the figures per label map and class, percent unrounded."""
        return class_rows(self.tallies, self.classes)


def evaluate(
    model: Method,
    source: ImageSet,
    settings: dict[str, Any],
    *,
    workers: int = 0,
    progress: Progress | None = None,
    part: tuple[int, int] = (0, 1),
) -> Evaluation:
    """Segmentation, CAMs (by the image's tags) and classification of every student by the protocol of training time.

    Args:
        model: In any mode; it is left in the mode it was in.
        source: The data set.
        settings: Of the recipe's ``evaluation``: size, cam_threshold, batch_size, subset.
        workers: Of the loader.
        progress: Called with images done and in all.
        part: This process and the number of processes that share the work; the caller merges.

    Raises:
        UserError: The data set has no masks, or a mask holds a label out of range.
    """
    protocol = Squashed(settings, Who.of([], len(model.students)))
    found = evaluate_by(protocol, model, source, settings, workers=workers, progress=progress, part=part)
    return found[protocol.name]


def evaluate_by(
    protocol: Protocol,
    model: Method,
    source: ImageSet,
    settings: dict[str, Any],
    *,
    workers: int = 0,
    progress: Progress | None = None,
    part: tuple[int, int] = (0, 1),
) -> dict[str, Evaluation]:
    """Evaluations by name of the protocol and of its parts, in one pass over the images.

    Args:
        protocol: How images become label maps.
        model: As ``evaluate`` has it, and what follows.
        source: As there.
        settings: As there; of it, the subset.
        workers: As there.
        progress: As there.
        part: As there.

    Raises:
        UserError: As there.
    """
    if not source.has_masks:
        raise UserError(NO_MASKS)
    started = time.monotonic()
    mine = list(range(part[0], len(source), part[1]))
    tallies: dict[str, dict[str, Tally]] = {name: {} for name in protocol.parts}
    guessed: list[Labelled] = []
    training = model.training
    model.eval()
    with plain_errors(protocol.smaller, workers):
        for done, found in enumerate(protocol.stream(model, source, mine, workers), 1):
            beat()
            for name, labels in found.labels.items() if found.mask is not None else ():
                _count(tallies[name], found, labels, source)
            if found.scores is not None:
                guessed.append(Labelled(found.index, None, {}, found.tags, found.scores))
            if progress is not None:
                progress(done, len(mine))
    model.train(training)
    guesses = Guesses.of(guessed, len(model.students), source.K)
    seconds = time.monotonic() - started
    evaluations = {}
    for name, counted in tallies.items():
        _sort(counted)
        metrics = _metrics(counted, guesses, source.classes, settings)
        evaluations[name] = Evaluation(metrics, counted, guesses, source.classes, source.names, seconds)
    return evaluations


def _metrics(
    tallies: dict[str, Tally], guesses: Guesses, classes: tuple[str, ...], settings: dict[str, Any]
) -> dict[str, float]:
    metrics = summarise(tallies, subset_of(settings.get("subset"), classes))
    for s, scores in enumerate(guesses.scores if len(guesses.images) else ()):
        metrics.update({f"cls/{s + 1}/{name}": value for name, value in tag_scores(guesses.tags, scores).items()})
    return metrics


def _count(tallies: dict[str, Tally], found: Labelled, labels: dict[str, NDArray[Any]], source: ImageSet) -> None:
    """Add one image to the tallies of its maps."""
    assert found.mask is not None
    for name, single in labels.items():
        where = f"mask of image {source.names[found.index]}"
        if single.shape != found.mask.shape:
            sizes = "x".join(map(str, found.mask.shape)), "x".join(map(str, single.shape))
            raise UserError(f"{where}: {sizes[0]} pixels, its photo has {sizes[1]}; run dupl data check")
        try:
            tallies.setdefault(name, Tally(len(source.classes))).add(found.index, found.mask, single)
        except ValueError as error:
            raise UserError(f"{where}: {error}; run dupl data check") from error


def _sort(tallies: dict[str, Tally]) -> None:
    """Bring per-image counts into the order of the data set."""
    for tally in tallies.values():
        tally.per_image.sort(key=lambda rows: int(rows[0, 0]) if len(rows) else -1)


def metric_names(settings: dict[str, Any], classes: tuple[str, ...], students: int) -> set[str]:
    """What an evaluation will measure, by name.

    Raises:
        UserError: A class of the subset is none.
    """
    subset = subset_of(settings.get("subset"), classes)
    each = [str(s + 1) for s in range(students)]
    all_maps = each + ["mean"] * (students > 1)
    names = {f"cls/{who}/{metric}" for who in each for metric in ("mAP", "F1")}
    for kind in ("cam", "seg"):
        names |= {f"{kind}/{who}/OA" for who in all_maps}
        for metric in ["mIoU"] + ([subset[0]] if subset else []):
            names |= {f"{kind}/{who}/{metric}" for who in [*all_maps, "best"]}
    return names


def subset_of(setting: dict[str, Any] | None, classes: tuple[str, ...]) -> tuple[str, list[int]] | None:
    """The recipe's ``evaluation.subset``: a name and class names, as ids."""
    if not setting or not setting["classes"]:
        return None
    unknown = [c for c in setting["classes"] if c not in classes]
    if unknown:
        raise UserError(f"evaluation.subset: no class {unknown[0]!r} in the data set: {', '.join(classes)}")
    return setting["name"], [classes.index(c) for c in setting["classes"]]


def merge(parts: list[Evaluation], settings: dict[str, Any]) -> Evaluation:
    """One evaluation from the parts of several processes, as if one had made it."""
    first = parts[0]
    for other in parts[1:]:
        for name, tally in other.tallies.items():
            first.tallies.setdefault(name, Tally(len(first.classes))).merge(tally)
    _sort(first.tallies)
    guesses = Guesses.merge([p.guesses for p in parts])
    metrics = _metrics(first.tallies, guesses, first.classes, settings)
    return Evaluation(metrics, first.tallies, guesses, first.classes, first.names, max(p.seconds for p in parts))
