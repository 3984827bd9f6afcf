"""The result of an evaluation, and how the results of several processes are merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dupl.data.base import ImageSet
from dupl.data.mask_summary import MaskSummary
from dupl.engine.evaluation.protocol import LabelledImage
from dupl.errors import UserError
from dupl.runs.evaluation_files import ClassRow, class_rows, write_evaluation
from dupl.runs.judged import Judged
from dupl.runs.metric_names import metric_names
from dupl.runs.metrics import summarise, tag_scores
from dupl.runs.status import now
from dupl.runs.tallies import Tally


@dataclass(frozen=True)
class ClassScores:
    """The class scores of whole images.

    Attributes:
        images: Positions of N images in the data set, ascending.
        tags: The true tags, (N, K) of 0/1.
        scores: Scores of every student before the sigmoid, (students, N, K).
    """

    images: NDArray[np.int64]
    tags: NDArray[np.float32]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, found: list[LabelledImage], students: int, K: int) -> ClassScores:
        """Collect the scores of labelled images; the result is empty where the protocol does not classify."""
        rows = [(f.index, f.tags, f.scores) for f in found if f.tags is not None and f.scores is not None]
        tags = torch.stack([torch.zeros(K), *(t for _, t, _ in rows)])[1:]
        scores = torch.stack([torch.zeros(students, K), *(s for _, _, s in rows)], 1)[:, 1:]
        return cls(np.array([i for i, _, _ in rows], np.int64), tags.numpy(), scores.numpy())

    @classmethod
    def merge(cls, parts: list[ClassScores]) -> ClassScores:
        """Merge parts in the order of the data set."""
        images = np.concatenate([p.images for p in parts])
        order = np.argsort(images, kind="stable")
        tags, scores = np.concatenate([p.tags for p in parts]), np.concatenate([p.scores for p in parts], 1)
        return cls(images[order], tags[order], scores[:, order])


@dataclass
class EvaluationResult:
    """The result of an evaluation.

    Attributes:
        metrics: Metrics in percent by name (``cam/1/mIoU``).
        tallies: Pixel counts by label map (``cam/1``), those of auxiliary CAMs (``aux_cam/1``) included.
        class_scores: Class scores and tags.
        classes: Class names, background first.
        names: Names of the images, in the order of the per-image counts.
        seconds: Wall time in seconds.
    """

    metrics: dict[str, float]
    tallies: dict[str, Tally]
    class_scores: ClassScores
    classes: tuple[str, ...]
    names: list[str]
    seconds: float

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write the files of the evaluation; see `dupl.runs.evaluation_files.write_evaluation`."""
        facts = {**facts, "judged": asdict(self.judged), "seconds": round(self.seconds, 3), "made": now()}
        write_evaluation(folder, facts, self.metrics, self.listed, self.classes, self.names)

    @property
    def listed(self) -> dict[str, Tally]:
        """Return the tallies that tables list; of auxiliary CAMs there are metrics only."""
        return {name: tally for name, tally in self.tallies.items() if not name.startswith("aux_cam/")}

    @property
    def judged(self) -> Judged:
        """The images and classes that have truth."""
        summary = self._masks()
        classes = int((summary.areas[: len(self.classes)] > 0).sum())
        return Judged(summary.masks, len(self.names), classes, len(self.classes))

    def judged_line(self) -> str:
        """Say in one line how many images and classes have true masks, and what that means for the mIoU."""
        return self._masks().line(self.classes)

    def _masks(self) -> MaskSummary:
        tally = next(iter(self.tallies.values()), None)
        if tally is None:
            return MaskSummary(len(self.names), 0)
        areas = np.zeros(256, np.int64)
        areas[: len(self.classes)] = tally.matrix.sum(1)
        masks = len(tally.per_image)
        return MaskSummary(len(self.names), masks, masks, areas)

    def class_rows(self) -> list[ClassRow]:
        """Return the figures per label map and class, percent unrounded."""
        return class_rows(self.listed, self.classes)


def merge(parts: list[EvaluationResult], settings: dict[str, Any]) -> EvaluationResult:
    """Merge the parts of several processes into the evaluation that one process would have made."""
    first = parts[0]
    for other in parts[1:]:
        for name, tally in other.tallies.items():
            first.tallies.setdefault(name, Tally(len(first.classes))).merge(tally)
    sort_images(first.tallies)
    class_scores = ClassScores.merge([p.class_scores for p in parts])
    metrics = metrics_of(first.tallies, class_scores, first.classes, settings)
    return EvaluationResult(
        metrics, first.tallies, class_scores, first.classes, first.names, max(p.seconds for p in parts)
    )


def count_image(tally: Tally, source: ImageSet, i: int, truth: NDArray[Any], labels: NDArray[Any]) -> None:
    """Add an image to the counts of a label map.

    Args:
        tally: The counts.
        source: The data set.
        i: Position of the image in it.
        truth: Its mask, (H, W).
        labels: Its label map, (H, W).

    Raises:
        UserError: The mask has another size, or holds an unknown label.
    """
    where = f"mask of image {source.names[i]}"
    if labels.shape != truth.shape:
        sizes = "x".join(map(str, truth.shape)), "x".join(map(str, labels.shape))
        raise UserError(f"{where}: {sizes[0]} pixels, its photo has {sizes[1]}; run dupl data check")
    try:
        tally.add(i, truth, labels)
    except ValueError as error:
        raise UserError(f"{where}: {error}; run dupl data check") from error


def metrics_of(
    tallies: dict[str, Tally], class_scores: ClassScores, classes: tuple[str, ...], settings: dict[str, Any]
) -> dict[str, float]:
    """Compute all metrics of an evaluation from its counts and scores."""
    metrics = summarise(tallies, subset_of(settings.get("subset"), classes))
    if not len(class_scores.images):
        return metrics
    scores = {str(s + 1): of_student for s, of_student in enumerate(class_scores.scores)}
    if len(scores) > 1:
        scores["mean"] = class_scores.scores.mean(0)
    for who, of_images in scores.items():
        found = tag_scores(class_scores.tags, of_images)
        metrics.update({f"cls/{who}/{name}": value for name, value in found.items()})
    return metrics


def sort_images(tallies: dict[str, Tally]) -> None:
    """Sort per-image counts by the order of the data set."""
    for tally in tallies.values():
        tally.per_image.sort(key=lambda rows: int(rows[0, 0]) if len(rows) else -1)


def known_metrics(settings: Mapping[str, Any], source: ImageSet, students: int) -> list[str]:
    """Return the names of the metrics that evaluations during training will have.

    Args:
        settings: The recipe's ``evaluation``.
        source: The validation set.
        students: Number of students.

    Raises:
        UserError: ``evaluation.subset`` names an unknown class.
    """
    subset = subset_of(settings.get("subset"), source.classes)
    return metric_names(students, subset[0] if subset else "", masks=source.has_masks)


def best_metric(settings: Mapping[str, Any], source: ImageSet, students: int) -> str:
    """Return the metric by which the best weights are kept: that of the recipe, without masks one of tags.

    Tags never choose between students, because the one that is misled by surroundings may classify better.

    Args:
        settings: The recipe's ``evaluation``.
        source: The validation set.
        students: Number of students.
    """
    stated = str(settings["best"])
    if source.has_masks or stated.startswith("cls/"):
        return stated
    return "cls/mean/mAP" if students > 1 else "cls/1/mAP"


def subset_of(setting: dict[str, Any] | None, classes: tuple[str, ...]) -> tuple[str, list[int]] | None:
    """Return name and class ids of the recipe's ``evaluation.subset``; None where there is none.

    Raises:
        UserError: It names an unknown class.
    """
    if not setting or not setting["classes"]:
        return None
    unknown = [c for c in setting["classes"] if c not in classes]
    if unknown:
        raise UserError(f"evaluation.subset: no class {unknown[0]!r} in the data set; choose from {', '.join(classes)}")
    return setting["name"], [classes.index(c) for c in setting["classes"]]
