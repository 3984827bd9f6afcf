"""Label maps as text files of YOLO segmentation."""

from __future__ import annotations

import json
from pathlib import Path

from dupl.atomic import atomic_write
from dupl.data.export.base import Export, Labels
from dupl.data.export.polygons import polygons_of

FOLDER = "yolo"


class YoloExport(Export):
    """``yolo/labels/NAME.txt`` with a line per region, and ``yolo/data.yaml`` with the class names.

    A line is the class, counted from 0 without the background, and the points of a polygon as shares of width and
    height. An image without a region has an empty file, as YOLO expects of a background image.
    """

    def add(self, name: str, photo: Path, labels: Labels) -> None:
        """Write the file of an image."""
        height, width = labels.shape
        lines = []
        for k, mask in self.regions(labels):
            for polygon in polygons_of(mask):
                shares = (polygon / (width, height)).ravel()
                lines.append(" ".join([str(k - 1), *(f"{value:.6f}" for value in shares)]))
        atomic_write(self.out / FOLDER / "labels" / f"{name}.txt", "".join(f"{line}\n" for line in lines))

    def close(self) -> None:
        """Write the class names; JSON texts are YAML too."""
        names = "".join(f"  {k}: {json.dumps(name)}\n" for k, name in enumerate(self.classes[1:]))
        text = f"path: .\ntrain: images\nval: images\nnames:\n{names}"
        atomic_write(self.out / FOLDER / "data.yaml", text)
