"""Choose the images on which methods are shown side by side, by a rule that the figure states."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dupl.errors import UserError
from dupl.report.run_comparison import image_classes
from dupl.runs.pixel_counts import PixelCounts

RULES = ("difference", "best", "worst", "random")
IoU = Mapping[str, float]  # by image, percent


@dataclass(frozen=True)
class ImageChoice:
    """Images and the rule that chose them.

    Attributes:
        names: Of the images, in the order in which they are shown.
        rule: In words, for the caption.
    """

    names: tuple[str, ...]
    rule: str


def image_ious(counts: PixelCounts, label_map: str) -> dict[str, float]:
    """Return the IoU of each image: the mean over the classes in its mask, in percent.

    Args:
        counts: Pixels per image and class of an evaluation.
        label_map: Such as "seg/1".
    """
    found = image_classes(counts.frame(), label_map).groupby("image")["IoU"].mean()
    return {str(name): float(value) for name, value in found.items()}


def choose_images(
    images: str | Sequence[str], count: int, known: Sequence[str], scores: Mapping[str, IoU], seed: int = 0
) -> ImageChoice:
    """Choose images by a rule, or take those that are named.

    Args:
        images: One of `RULES`, or names. "difference": where the last method differs most from the first one, by IoU
            of the image; "best" and "worst": by the IoU of the last method.
        count: Number of images that a rule chooses.
        known: Names of all images of the data set.
        scores: IoU by method and image, for the rules that need it; a method without evaluation has none.
        seed: Of the random choice.

    Raises:
        UserError: An image is unknown, or the rule needs an evaluation that a method does not have.
    """
    if count < 1:
        raise UserError(f"count (--count) is {count}: give at least 1")
    names = [images] if isinstance(images, str) else list(images)
    if not names:
        raise UserError(f"images (--images) is empty: give names of images, or one of {', '.join(RULES)}")
    if names != [names[0]] or names[0] not in RULES:
        if unknown := [name for name in names if name not in set(known)]:
            raise UserError(
                f"images (--images) {unknown[0]}: the data set has no such image; give names of images, or one of "
                f"{', '.join(RULES)}"
            )
        return ImageChoice(tuple(names), "images chosen by name")
    rule = names[0]
    if rule == "random":
        drawn = random.Random(seed).sample(sorted(known), min(count, len(known)))
        return ImageChoice(tuple(drawn), f"{len(drawn)} images drawn at random, seed {seed}")
    return _by_iou(rule, count, scores)


def _by_iou(rule: str, count: int, scores: Mapping[str, IoU]) -> ImageChoice:
    """Choose images by their IoU; equal ones are ordered by name."""
    first, last = list(scores)[0], list(scores)[-1]
    needed = [first, last] if rule == "difference" else [last]
    if lacking := [name for name in needed if not scores[name]]:
        raise UserError(
            f"images (--images) {rule} needs the IoU per image of {lacking[0]}: evaluate it on this split first "
            "(dupl eval), or choose random or names"
        )
    if rule == "difference":
        if len(scores) < 2:
            raise UserError("images (--images) difference compares methods: give two, or choose best, worst or random")
        values = {name: scores[last][name] - scores[first][name] for name in scores[last] if name in scores[first]}
        chosen = sorted(values, key=lambda name: (-abs(values[name]), name))[:count]
        text = f"the {len(chosen)} images on which the IoU of {last} differs most from that of {first}, either way"
    else:
        sign = -1 if rule == "best" else 1
        chosen = sorted(scores[last], key=lambda name: (sign * scores[last][name], name))[:count]
        text = f"the {len(chosen)} images with the {'highest' if rule == 'best' else 'lowest'} IoU of {last}"
    return ImageChoice(tuple(chosen), text)
