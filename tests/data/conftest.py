from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dupl.data.classes import COCO_CLASSES

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


# id, file, mode, height, width, [(category id, area, crowd, outline)]; ids are neither sorted nor without gaps
PERSON, STOP_SIGN, BOOK = 1, 13, 84
COCO_IMAGES = [
    (74, "L", 20, 30, [(STOP_SIGN, 40.0, 0, "square"), (PERSON, 200.0, 0, "square")]),
    (9, "RGB", 24, 16, [(BOOK, 60.0, 1, "runs"), (PERSON, 12.0, 0, "two")]),
    (42, "CMYK", 20, 30, [(PERSON, 200.0, 0, "square")]),
    (100, "RGB", 20, 30, []),
]


def coco_outline(kind: str, height: int, width: int) -> object:
    """An object's outline in COCO's format."""
    if kind == "runs":  # the first three columns
        return {"size": [height, width], "counts": [0, 3 * height, (width - 3) * height]}
    left = [[2.0, 2.0, 8.0, 2.0, 8.0, 7.0, 2.0, 7.0]]
    return left if kind == "square" else [*left, [10, 10, 14, 10, 14, 13, 10, 13], [1.0, 1.0, 2.0, 2.0]]


@pytest.fixture
def coco_root(tmp_path: Path) -> Path:
    """COCO's folders with four photos in train and in val: grey, CMYK, a crowd region, one without objects."""
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    ids = [n for n in range(1, 91) if n not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    categories = [dict(id=n, name=name, supercategory="") for n, name in zip(ids, COCO_CLASSES[1:], strict=True)]
    for split in ("train", "val"):
        (root / f"{split}2014").mkdir()
        content: dict = dict(info=dict(year=2014), images=[], licenses=[], annotations=[], categories=categories[::-1])
        for number, mode, height, width, objects in COCO_IMAGES:
            name = f"COCO_{split}2014_{number:012d}.jpg"
            photo = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(photo).convert(mode).save(root / f"{split}2014" / name)
            content["images"].append(dict(id=number, file_name=name, height=height, width=width))
            for category, area, crowd, kind in objects:
                outline = coco_outline(kind, height, width)
                place = dict(image_id=number, category_id=category, id=len(content["annotations"]))
                content["annotations"].append(dict(place, segmentation=outline, area=area, iscrowd=crowd))
        (root / "annotations" / f"instances_{split}2014.json").write_text(json.dumps(content))
    return root
