"""Label maps as a data set in COCO's JSON, with run lengths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dupl.atomic import atomic_write
from dupl.data.export.base import Export, Labels, Mask


class CocoExport(Export):
    """``coco.json``: one annotation per image and class, whose run lengths go down the columns, outside first."""

    def __init__(self, out: Path, classes: Sequence[str]) -> None:
        """Begin without images."""
        super().__init__(out, classes)
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, name: str, photo: Path, labels: Labels) -> None:
        """Add an image and an annotation for each class in it."""
        height, width = labels.shape
        number = len(self.images) + 1
        file = f"{name}{photo.suffix}"
        self.images.append({"id": number, "file_name": file, "height": height, "width": width})
        for k, mask in self.regions(labels):
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
            annotation = {
                "id": len(self.annotations) + 1,
                "image_id": number,
                "category_id": k,
                "segmentation": {"size": [height, width], "counts": run_lengths(mask)},
                "area": int(mask.sum()),
                "bbox": [int(value) for value in box],
                "iscrowd": 0,
            }
            self.annotations.append(annotation)

    def close(self) -> None:
        """Write the file."""
        categories = [{"id": k, "name": name} for k, name in enumerate(self.classes) if k]
        found = {"images": self.images, "annotations": self.annotations, "categories": categories}
        atomic_write(self.out / "coco.json", json.dumps(found) + "\n")


def run_lengths(mask: Mask) -> list[int]:
    """Return the lengths of the runs of equal pixels down the columns of a mask (H, W), beginning outside."""
    flat = np.concatenate([[False], mask.T.ravel()])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(length) for length in np.diff(np.concatenate([[0], changes, [mask.size]]))]
