"""What training says of its data before it starts."""

from __future__ import annotations

from dupl.data.base import ImageSet
from dupl.data.mask_summary import summarize_masks
from dupl.data.orientation import check_orientations
from dupl.data.quick_check import quick_check


def check_before_training(train: ImageSet, val: ImageSet | None, masks_of_train: bool) -> list[str]:
    """Check data sets without reading photos; read masks of val only.

    Args:
        train: The training set.
        val: The validation set, if there is one.
        masks_of_train: Whether masks of the training set are used.

    Returns:
        Lines to print: classes that a table named, images listed twice or shared, what the masks of val hold.

    Raises:
        UserError: Photos are missing, or masks may lie on either form of a turned photo.
    """
    if masks_of_train:
        check_orientations(train, "data.train")
    lines = [f"classes {train.class_note}"] if train.class_note else []
    if val is None:
        return [*lines, *quick_check({"train": train})]
    check_orientations(val, "data.val")
    lines += quick_check({"train": train, "val": val})
    if len(val) and val.photo_file(0) is not None:  # not made by code
        lines.append(f"val: {mask_line(val)}")
        if not val.has_masks:
            lines.append(
                "val: its mAP chooses the best checkpoint, but no student: the better classifier may segment worse"
            )
    return lines


def mask_line(source: ImageSet) -> str:
    """Return what the masks of a data set hold; where some are missing, also where one is expected."""
    summary = summarize_masks(source)
    hint = source.mask_hint() if summary.masks < summary.images else ""
    return summary.line(source.classes) + (f" ({hint})" if hint else "")
