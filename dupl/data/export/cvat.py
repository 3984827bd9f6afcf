"""Label maps as polygons in the XML of CVAT."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from dupl.atomic import atomic_write
from dupl.data.export.base import Export, Labels
from dupl.data.export.polygons import polygons_of


class CvatExport(Export):
    """``cvat.xml`` ("CVAT for images 1.1"): a polygon per region."""

    def __init__(self, out: Path, classes: Sequence[str]) -> None:
        """Begin with the names of the labels."""
        super().__init__(out, classes)
        self.root = ElementTree.Element("annotations")
        ElementTree.SubElement(self.root, "version").text = "1.1"
        labels = ElementTree.SubElement(
            ElementTree.SubElement(ElementTree.SubElement(self.root, "meta"), "task"), "labels"
        )
        for name in self.classes[1:]:
            ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
        self.images = 0

    def add(self, name: str, photo: Path, labels: Labels) -> None:
        """Add an image and its polygons."""
        height, width = labels.shape
        facts = {"id": str(self.images), "name": f"{name}{photo.suffix}", "width": str(width), "height": str(height)}
        image = ElementTree.SubElement(self.root, "image", facts)
        self.images += 1
        for k, mask in self.regions(labels):
            for polygon in polygons_of(mask):
                points = ";".join(f"{x:.2f},{y:.2f}" for x, y in polygon)
                found = {"label": self.classes[k], "source": "auto", "occluded": "0", "points": points, "z_order": "0"}
                ElementTree.SubElement(image, "polygon", found)

    def close(self) -> None:
        """Write the file."""
        text = io.BytesIO()
        ElementTree.indent(self.root)
        ElementTree.ElementTree(self.root).write(text, encoding="utf-8", xml_declaration=True)
        atomic_write(self.out / "cvat.xml", text.getvalue())
