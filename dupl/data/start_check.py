"""What training says of its data before it starts."""

from __future__ import annotations

from dupl.data.base import ImageSet
from dupl.data.mask_summary import summarize_masks, with_hint
from dupl.data.orientation import check_orientations
from dupl.data.quick_check import quick_check


def check_before_training(
    train: ImageSet, val: ImageSet | None, masks_of_train: bool, learns_from_masks: bool = False
) -> list[str]:
    """Check data sets without reading photos; read masks of val, and of train where they are learnt from.

    Args:
        train: The training set.
        val: The validation set, if there is one.
        masks_of_train: Whether masks of the training set are used.
        learns_from_masks: Whether the model learns from them.

    Returns:
        Lines to print: classes that a table named, images listed twice or shared, what the masks hold.

    Raises:
        UserError: Photos are missing, or masks may lie on either form of a turned photo.
    """
    if masks_of_train:
        check_orientations(train, "data.train")
    lines = [f"classes {train.class_note}"] if train.class_note else []
    if val is not None:
        check_orientations(val, "data.val")
    lines += quick_check({"train": train} | ({} if val is None else {"val": val}))
    if learns_from_masks and not made_by_code(train):
        lines.append(f"train: {mask_line(train, learnt=True)}")
    if val is not None and not made_by_code(val):
        lines.append(f"val: {mask_line(val)}")
        if not val.has_masks:
            lines.append(
                "val: its mAP chooses the best checkpoint, but no student: the better classifier may segment worse"
            )
    return lines


def made_by_code(source: ImageSet) -> bool:
    """Return whether the images of a data set are made by code; also where it has none."""
    return not len(source) or source.photo_file(0) is None


def mask_line(source: ImageSet, learnt: bool = False) -> str:
    """Return what the masks of a data set hold; where some are missing, also where one is expected.

    Args:
        source: The data set.
        learnt: Whether a model learns from the masks; otherwise they judge it.
    """
    summary = summarize_masks(source)
    line = summary.training_line(source.classes) if learnt else summary.line(source.classes)
    return with_hint(line, summary, source)
