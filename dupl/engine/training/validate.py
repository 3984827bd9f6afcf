"""Validating a recipe and its data before training starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.registry import HOOKS, VISBACKENDS

from dupl.config import catalogue
from dupl.config.check import RECIPE, UnknownKey, suggestion
from dupl.data.base import ImageSet
from dupl.data.spread import spread
from dupl.data.start_check import check_before_training
from dupl.data.views import TrainView
from dupl.engine import build
from dupl.engine.evaluation.result import best_metric, known_metrics
from dupl.errors import UserError
from dupl.method.base import Method
from dupl.method.class_contrast import ClassTokenContrast
from dupl.registry import validate_registered
from dupl.structures import IGNORE


@dataclass(frozen=True)
class TrainingData:
    """The data of a training.

    Attributes:
        view: The training samples.
        validation: The validation set, with masks or with tags alone; None where there is none.
        notes: Lines to print on what a quick check of the data found.
    """

    view: TrainView
    validation: ImageSet | None
    notes: tuple[str, ...] = ()

    @property
    def by_split(self) -> dict[str, ImageSet]:
        """The data sets by the name of their split."""
        return {"train": self.view.source} | ({} if self.validation is None else {"val": self.validation})

    @property
    def shown(self) -> ImageSet:
        """The data set whose images are shown in pictures."""
        return self.view.source if self.validation is None else self.validation


def check_config(config: Config) -> None:
    """Validate a config before training starts; unknown keys, which a stored config may have, are accepted.

    Raises:
        UserError: A value does not fit the schema; a hook or backend is not registered with mmengine, which would
            import it.
    """
    for fault in RECIPE.faults(catalogue.plain(config)):
        if not isinstance(fault, UnknownKey):
            raise fault
    build.import_custom(config)
    validate_registered(config.get("hooks", []), HOOKS, "hooks")
    check_hooks(config.get("hooks", []))
    validate_registered(config.runtime.vis_backends, VISBACKENDS, "runtime.vis_backends")


def check_hooks(hooks: Sequence[Mapping[str, Any]]) -> None:
    """Check that no hook of mmengine is given a path, or a name with dots, which mmengine would import.

    Raises:
        UserError: One is.
    """
    for number, hook in enumerate(hooks):
        if not HOOKS.module_dict[hook["type"]].__module__.startswith("mmengine."):
            continue
        for text in _texts({key: value for key, value in hook.items() if key != "type"}):
            if set(text) & set("./\\"):
                raise UserError(
                    f"hooks.{number}: {hook['type']} takes neither paths nor names with dots: remove {text!r}"
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def read_data(config: Config) -> TrainingData:
    """Build the data sets of a recipe, and check what would end the first evaluation.

    Raises:
        UserError: A data set or the augmentation does not accept its settings, the classes of the two sets differ, or
            a photo is missing or a mask is wrong.
    """
    source = build.build_dataset(config, "train")
    check_quality(config, source)
    masks = build.learns_from_masks(config)
    contrast = build.contrast_augment(config)
    view = TrainView(source, config.data.augment.to_dict(), config.runtime.seed, masks, contrast)
    validation = build.build_dataset(config, "val") if config.data.get("val") else None
    if validation is not None and validation.classes != source.classes:
        both = f"{', '.join(validation.classes)}; {', '.join(source.classes)}"
        raise UserError(f"data.val has other classes than data.train ({both}): name the same, in the same order")
    notes = check_before_training(source, validation, masks or bool(config.evaluation.get("quality")), masks)
    if validation is not None and validation.has_masks:
        check_masks(validation, "data.val")
    return TrainingData(view, validation, tuple(notes))


def warmup_note(config: Config) -> str:
    """Return a line where the warm-up does not end before training does, or an empty string."""
    warmup, total = config.schedule.warmup, config.schedule.iterations
    if warmup < total:
        return ""
    return (
        f"all {total} iterations are warm-up, because schedule.warmup is {warmup}: the learning rate does not reach "
        "schedule.lr; shorten schedule.warmup, or give dupl train --iterations, which scales it"
    )


def check_model(config: Config, model: Method, data: TrainingData) -> None:
    """Compare the model with the data and with the settings that are first used at the first evaluation.

    Raises:
        UserError: An image side is no multiple of the patch, or a setting of the evaluation names what does not exist.
    """
    check_sizes(config, model.students[0].backbone.patch)
    if isinstance(contrast := getattr(model, "class_contrast", None), ClassTokenContrast):
        check_local_crops(config, contrast)
    if data.validation is not None:
        check_evaluation(config, data.validation, len(model.students))


def check_evaluation(config: Config, source: ImageSet, students: int) -> None:
    """Validate the settings that are first used at the first evaluation.

    Raises:
        UserError: ``evaluation.subset`` names an unknown class, or ``evaluation.best`` an unknown metric.
    """
    settings = config.evaluation.to_dict()
    known = known_metrics(settings, source, students)
    if best_metric(settings, source, students) not in known:
        best = config.evaluation.best
        raise UserError(f"evaluation.best is {best!r}, which the evaluation does not measure{suggestion(best, known)}")


def check_sizes(config: Config, patch: int) -> None:
    """Check that the squares that training and evaluations cut or squash images to are whole patches.

    This holds for ``Backbone.fit`` "drop" too: there the rest of every crop would be lost.

    Args:
        config: A resolved recipe.
        patch: Side of a patch of the backbone, in pixels.

    Raises:
        UserError: A side is no multiple of the patch.
    """
    sizes = {"data.augment.crop": config.data.augment.crop}
    if config.data.get("val"):
        sizes |= build.evaluation_sides(config)
    for path, size in sizes.items():
        build.check_side(path, size, patch)


def check_local_crops(config: Config, contrast: ClassTokenContrast) -> None:
    """Check that the training crop has enough places for the local crops of the class token contrast.

    Raises:
        UserError: It is too small.
    """
    side, crop = config.data.augment.crop, contrast.crop_size
    if max(0, side - crop) ** 2 < contrast.crops:
        raise UserError(
            f"model.class_contrast cuts {contrast.crops} local crops of {crop} px, and data.augment.crop is {side}, "
            "which has too few places for them: give a smaller model.class_contrast.crop_size"
        )


def check_quality(config: Config, source: ImageSet) -> None:
    """Check that there are masks to compare pseudo-labels with, if ``evaluation.quality`` is set.

    Raises:
        UserError: The training set has no masks.
    """
    if config.evaluation.get("quality", 0) and not source.has_masks:
        raise UserError("evaluation.quality needs masks of data.train, which has none: set it to 0")


def check_masks(source: ImageSet, name: str, count: int = 16) -> None:
    """Check a few masks, evenly spread over a data set, for errors that would end the first evaluation.

    Args:
        source: The data set, which has masks.
        name: Its name in the recipe.
        count: Number of images to check.

    Raises:
        UserError: A mask cannot be read, has another size than its photo, or holds an unknown label.
    """
    for i in spread(count, len(source)):
        mask = source.mask(i)
        if mask is None:
            continue
        where = f"{name}, mask of image {source.names[i]}"
        if mask.shape != (size := source.image(i).shape[:2]):
            sizes = f"{mask.shape[0]}x{mask.shape[1]} pixels, its photo has {size[0]}x{size[1]}"
            raise UserError(f"{where}: {sizes}; run dupl data check")
        if (unknown := mask[(mask != IGNORE) & (mask > source.K)]).size:
            raise UserError(f"{where}: label {unknown.max()} in a mask of {source.K + 1} classes; run dupl data check")
