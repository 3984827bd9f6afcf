"""Preparing PASCAL VOC 2012: its archive, and a table of tags from its annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dupl.data.classes import VOC_CLASSES
from dupl.data.files import read_mask
from dupl.data.prepare import archives
from dupl.data.prepare.disk import writing
from dupl.data.prepare.steps import Place, PrepareStep
from dupl.data.prepare.writing import save_tags
from dupl.data.tag_table import read_tag_table
from dupl.data.voc import annotated_classes, read_ids
from dupl.errors import UserError
from dupl.structures import IGNORE

LISTS = Path("ImageSets") / "Segmentation"


def steps(place: Place) -> list[PrepareStep]:
    """Return the steps that make VOC 2012 below the root."""
    return [place.unpacked(archives.VOC_TRAINVAL), tags(place)]


def tags(place: Place) -> PrepareStep:
    """Return the step that writes tags.csv for all images with an annotation or on a list."""
    path = place.root / "tags.csv"
    return PrepareStep(
        "tags.csv", lambda: path.is_file() and _named(place.root) <= set(_rows(path)), lambda: _write(place)
    )


def _named(root: Path) -> set[str]:
    """Return the ids on the lists whose images have masks; test images need no tags."""
    names = ("train", "val", "trainval", "train_aug")
    return {name for split in names if (path := root / LISTS / f"{split}.txt").is_file() for name in read_ids(path)}


def _rows(path: Path) -> dict[str, tuple[str, ...]]:
    return read_tag_table(path, VOC_CLASSES[1:]).tags if path.is_file() else {}


def _write(place: Place) -> str:
    """Add the missing lines to tags.csv: the objects of the annotation or, without one, the classes of the mask."""
    path = place.root / "tags.csv"
    annotations = {file.stem for file in (place.root / "Annotations").glob("*.xml")}
    table = _rows(path)
    missing = sorted((annotations | _named(place.root)) - set(table))
    by_mask = 0
    for done, name in enumerate(missing):
        if done % 100 == 0:
            place.tick("read annotations", done, len(missing))
        if name in annotations:
            present = annotated_classes(place.root / "Annotations" / f"{name}.xml")
        else:
            present, by_mask = _in_mask(place.root, name), by_mask + 1
        table[name] = tuple(known for known in VOC_CLASSES[1:] if known in present)
    with writing(place.root, "tags.csv", lambda: 40 * len(table)):
        save_tags(path, dict(sorted(table.items())), " ")
    return f"{len(table):,} images" + (f", {by_mask:,} of them tagged by their mask" if by_mask else "")


def _in_mask(root: Path, name: str) -> set[str]:
    """Return the classes that an image's mask shows."""
    folders = [root / folder for folder in ("SegmentationClass", "SegmentationClassAug")]
    path = next((path for folder in folders if (path := folder / f"{name}.png").is_file()), None)
    if path is None:
        raise UserError(f"{name} has neither an annotation nor a mask in {root}; remove it from the lists in {LISTS}")
    return {VOC_CLASSES[label] for label in np.unique(read_mask(path)).tolist() if label not in (0, IGNORE)}
