"""Preparing MS COCO 2014: its archives, tables of tags, and masks made from its annotations."""

from __future__ import annotations

from functools import cached_property

from dupl.data.classes import COCO_CLASSES
from dupl.data.instances import Instances
from dupl.data.outlines import require_pycocotools
from dupl.data.prepare import archives
from dupl.data.prepare.archives import count
from dupl.data.prepare.disk import estimate_missing, writing
from dupl.data.prepare.steps import Place, PrepareStep
from dupl.data.prepare.writing import save_mask, save_tags


def steps(place: Place) -> list[PrepareStep]:
    """Return the steps that make COCO 2014 below the root; val comes first because it is smaller.

    Raises:
        UserError: Masks are still to be made, and pycocotools is not installed.
    """
    splits = [_Split(place, folder) for folder in ("val2014", "train2014")]
    if not all(split.has_masks() for split in splits):
        require_pycocotools()  # before 20 GB are downloaded
    zips = [place.unpacked(archive) for archive in (archives.COCO_ANNOTATIONS, archives.COCO_VAL, archives.COCO_TRAIN)]
    return [*zips, *(step for split in splits for step in split.steps())]


class _Split:
    """One split: its annotations are read once, and only when a step needs them."""

    def __init__(self, place: Place, folder: str) -> None:
        self.place, self.folder = place, folder
        self.masks = place.root / "masks" / folder
        self.table = place.root / f"tags_{folder}.csv"

    @cached_property
    def index(self) -> Instances:
        """Images and objects of the split."""
        path = self.place.root / "annotations" / f"instances_{self.folder}.json"
        self.place.tick(f"read {path.name}", 0, None)
        return Instances(path, COCO_CLASSES)

    def steps(self) -> list[PrepareStep]:
        """Return the steps that write the table of tags and the masks."""
        return [
            PrepareStep(self.table.name, self.table.is_file, self.write_table),
            PrepareStep(f"masks/{self.folder}", self.has_masks, self.write_masks),
        ]

    def has_masks(self) -> bool:
        """Return whether there is a mask for each line of the table."""
        if not self.table.is_file() or not self.masks.is_dir():
            return False
        with open(self.table, encoding="utf-8") as file:
            return count(self.masks) >= sum(1 for _ in file) - 1

    def write_table(self) -> str:
        """Write the tags of all images, sorted by id; images without objects have none."""
        index = self.index
        tags = {name: [COCO_CLASSES[label] for label in index.present(row)] for row, name in enumerate(index.files)}
        with writing(self.place.root, self.table.name, lambda: 60 * len(tags)):
            save_tags(self.table, tags, ";")
        empty = sum(not present for present in tags.values())
        return f"{len(tags):,} images, {empty:,} of them without objects"

    def write_masks(self) -> str:
        """Write the masks that are missing, and return what to report."""
        index = self.index
        targets = [self.masks / f"{name}.png" for name in index.names]
        with writing(self.masks, f"masks/{self.folder}", lambda: estimate_missing(targets)):
            for row, path in enumerate(targets):
                self.place.tick(f"write masks/{self.folder}", row, len(targets))
                if not path.is_file():
                    save_mask(path, index.mask(row))
        return f"{len(targets):,} masks"
