"""Label maps in the formats of other programs: COCO run lengths, and polygons of YOLO, LabelMe and CVAT.

The palette PNGs of ``dupl infer`` are the label maps themselves. Polygons run along the borders of pixels, in
coordinates whose origin is the upper left corner of the image, so that a program that asks which pixel centres lie
inside finds the label map again. A region with holes is one polygon with slits of no width to its holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dupl.data.export.base import Export
from dupl.data.export.coco import CocoExport
from dupl.data.export.cvat import CvatExport
from dupl.data.export.labelme import LabelMeExport
from dupl.data.export.yolo import YoloExport
from dupl.errors import UserError

__all__ = ["FORMATS", "Export", "open_export"]

FORMATS: dict[str, type[Export]] = {
    "coco": CocoExport,
    "yolo": YoloExport,
    "labelme": LabelMeExport,
    "cvat": CvatExport,
}


def open_export(name: str, out: Path, classes: Sequence[str]) -> Export:
    """Begin to write label maps in a format.

    Args:
        name: Of the format, one of `FORMATS`.
        out: Folder of the results.
        classes: Class names by label id, background first.

    Raises:
        UserError: There is no such format.
    """
    if name not in FORMATS:
        raise UserError(f"there is no export {name}: choose {', '.join(FORMATS)}; palette PNGs are always written")
    return FORMATS[name](out, classes)
