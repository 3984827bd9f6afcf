"""Label maps as the JSON files of LabelMe."""

from __future__ import annotations

import json
import os
from pathlib import Path

from dupl.atomic import atomic_write
from dupl.data.export.base import Export, Labels
from dupl.data.export.polygons import polygons_of

FOLDER = "labelme"
VERSION = "5.5.0"  # of LabelMe, whose layout this is


class LabelMeExport(Export):
    """``labelme/NAME.json``: a polygon per region, and the path of the photo from the file."""

    def add(self, name: str, photo: Path, labels: Labels) -> None:
        """Write the file of an image."""
        height, width = labels.shape
        file = self.out / FOLDER / f"{name}.json"
        shapes = [
            {
                "label": self.classes[k],
                "points": polygon.tolist(),
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
            }
            for k, mask in self.regions(labels)
            for polygon in polygons_of(mask)
        ]
        found = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": Path(os.path.relpath(photo.resolve(), file.parent.resolve())).as_posix(),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        atomic_write(file, json.dumps(found, indent=1) + "\n")

    def close(self) -> None:
        """Write nothing: each image has its file."""
