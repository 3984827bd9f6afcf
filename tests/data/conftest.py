from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

XML = """<annotation><folder>VOC2012</folder><object><name>{}</name><difficult>0</difficult>
<part><name>head</name></part></object><object><name>{}</name><difficult>1</difficult></object></annotation>"""
TAGS = {"2007_000001": ("cat", "dog"), "2007_000002": ("person", "person"), "2007_000003": ("sofa", "cat")}


@pytest.fixture
def voc_root(tmp_path: Path) -> Path:
    """Three photos of 30 x 20 pixels with annotations and masks that agree with their tags."""
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "ImageSets/Segmentation", "Annotations", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("2007_000001\n2007_000002\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("2007_000003\n\n")
    ids = {"cat": 8, "dog": 12, "person": 15, "sofa": 18}
    for number, (name, tags) in enumerate(TAGS.items()):
        photo = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(photo).save(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text(XML.format(*tags))
        mask = np.zeros((20, 30), np.uint8)
        mask[2:6, 2:6], mask[10:15, 10:15], mask[9, 9] = ids[tags[0]], ids[tags[1]], 255
        picture = Image.fromarray(mask).convert("L")
        picture.putpalette([0] * 768)
        picture.save(root / "SegmentationClass" / f"{name}.png")
    return root


@pytest.fixture
def folder_root(tmp_path: Path) -> Path:
    """Four images, one in a sub-folder, and no masks."""
    root = tmp_path / "mine"
    (root / "images/sub").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "b.png", "sub/c.JPG", "d.jpeg")):
        photo = np.full((8 + number, 12, 3), 40 * number, np.uint8)
        Image.fromarray(photo).save(root / "images" / name)
    return root
