"""Evaluating a model by any protocol: one pass over the images that counts pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from dupl.data.base import ImageSet
from dupl.engine.error_explanations import plain_errors
from dupl.engine.evaluation.protocol import LabelledImage, Protocol
from dupl.engine.evaluation.result import ClassScores, EvaluationResult, count_image, metrics_of, sort_images
from dupl.engine.evaluation.selection import MapSelection
from dupl.engine.evaluation.train_time import TrainTimeProtocol
from dupl.errors import UserError
from dupl.execute.heartbeat import beat
from dupl.method.base import Method
from dupl.runs.tallies import Tally

Progress = Callable[[int, int], None]
NO_MASKS = "this protocol needs masks, and the data set has none; --protocol train judges it by its tags (mAP, F1)"


def evaluate(
    model: Method,
    source: ImageSet,
    settings: dict[str, Any],
    *,
    workers: int = 0,
    progress: Progress | None = None,
    part: tuple[int, int] = (0, 1),
    images: Sequence[int] | None = None,
) -> EvaluationResult:
    """Evaluate segmentation, CAMs (of the image's tags) and classification of every student as during training.

    Without masks only the classification is evaluated.

    Args:
        model: The model in any mode, which is restored.
        source: The data set.
        settings: The recipe's ``evaluation``: size, cam_threshold, batch_size, subset.
        workers: Number of the loader's workers.
        progress: Called with images done and in all.
        part: Number of this process and of all processes that share the images; the caller merges their results.
        images: Positions of the images; None for all.

    Raises:
        UserError: A mask holds a label out of range.
    """
    protocol = TrainTimeProtocol(settings, MapSelection.of([], len(model.students)))
    found = evaluate_by(protocol, model, source, settings, workers=workers, progress=progress, part=part, images=images)
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
    images: Sequence[int] | None = None,
) -> dict[str, EvaluationResult]:
    """Evaluate by a protocol and all of its parts, in one pass over the images.

    Args:
        protocol: The protocol.
        model: The model in any mode, which is restored.
        source: The data set.
        settings: The recipe's ``evaluation``: subset.
        workers: Number of the loader's workers.
        progress: Called with images done and in all.
        part: Number of this process and of all processes that share the images.
        images: Positions of the images; None for all.

    Returns:
        Evaluations by the names of the protocol and its parts.

    Raises:
        UserError: The protocol needs masks and there are none, or a mask holds a label out of range.
    """
    if protocol.needs_masks and not source.has_masks:
        raise UserError(NO_MASKS)
    started = time.monotonic()
    mine = list(range(len(source)) if images is None else images)[part[0] :: part[1]]
    tallies: dict[str, dict[str, Tally]] = {name: {} for name in protocol.parts}
    scored: list[LabelledImage] = []
    training = model.training
    model.eval()
    with plain_errors(protocol.smaller, workers):
        for done, found in enumerate(protocol.stream(model, source, mine, workers), 1):
            beat()
            if found.mask is not None:
                _count(tallies, source, found.index, found.mask, found.labels)
            if found.scores is not None:
                scored.append(LabelledImage(found.index, None, {}, found.tags, found.scores))
            if progress is not None:
                progress(done, len(mine))
    model.train(training)
    class_scores = ClassScores.of(scored, len(model.students), source.K)
    seconds = time.monotonic() - started
    evaluations = {}
    for name, counted in tallies.items():
        sort_images(counted)
        metrics = metrics_of(counted, class_scores, source.classes, settings)
        evaluations[name] = EvaluationResult(metrics, counted, class_scores, source.classes, source.names, seconds)
    return evaluations


def _count(
    tallies: Mapping[str, dict[str, Tally]],
    source: ImageSet,
    i: int,
    truth: NDArray[Any],
    labels: Mapping[str, Mapping[str, NDArray[Any]]],
) -> None:
    """Add one image to the counts of its label maps, by protocol and by kind."""
    for protocol, maps in labels.items():
        for kind, single in maps.items():
            count_image(tallies[protocol].setdefault(kind, Tally(len(source.classes))), source, i, truth, single)
