"""The names of the metrics that evaluations write, such as "seg/best/mIoU"."""

from __future__ import annotations

OF_MAPS = ("mIoU", "OA")  # of label maps; the better student has no OA
OF_TAGS = ("mAP", "F1")  # of whole images
KINDS = {"train": ("cam", "seg", "aux_cam", "cls"), "cam": ("cam", "cls"), "final": ("seg",)}  # by protocol


def metric_names(students: int, subset: str = "", protocol: str = "train", masks: bool = True) -> list[str]:
    """Return the names of the metrics that an evaluation has.

    Args:
        students: Number of students.
        subset: Name of an mIoU over some of the classes; "" where there is none.
        protocol: One of `KINDS`.
        masks: Whether there are masks; without any there are only the metrics of tags.
    """
    each = [str(s + 1) for s in range(students)]
    averaged = [*each, *["mean"] * (students > 1)]
    means = ["mIoU", *[subset] * bool(subset)]
    found = []
    for kind in KINDS[protocol]:
        if kind == "cls":
            found += [f"cls/{who}/{metric}" for who in averaged for metric in OF_TAGS]
        elif masks:
            found += [
                f"{kind}/{who}/{metric}"
                for who in (each if kind == "aux_cam" else averaged)
                for metric in (*means, "OA")
            ]
            found += [f"{kind}/best/{metric}" for metric in means if kind != "aux_cam"]
    return found
