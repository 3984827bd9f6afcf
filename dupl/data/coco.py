"""MS COCO 2014, from its instances JSON or, after `dupl data prepare coco`, from a table of tags and PNG masks."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dupl.config.kinds import Count
from dupl.data.base import ImageSet
from dupl.data.classes import COCO_CLASSES
from dupl.data.files import read_image, read_mask
from dupl.data.instances import Instances
from dupl.data.orientation import upright_mask
from dupl.data.tag_table import read_tag_table
from dupl.errors import UserError
from dupl.places import find_data
from dupl.registry import DATASETS


@DATASETS.register_module()
class COCO(ImageSet):
    """MS COCO 2014 with its 80 classes and the background.

        root/
          train2014/, val2014/                 photos
          annotations/instances_val2014.json   objects
          tags_val2014.csv                     optional, written by `dupl data prepare coco`: avoids reading the JSON
          masks/val2014/NAME.png               optional, written likewise; else masks are painted on request

    Images are sorted by id. `dupl.data.instances.Instances` describes how overlapping objects, crowd regions and images
    without objects are treated. Photos are turned upright by their EXIF orientation, as in inference, and masks with
    them: their outlines lie on the stored pixels.
    """

    classes = COCO_CLASSES
    upright = False  # what masks were drawn on, where their size cannot tell

    def __init__(
        self,
        root: str,
        split: Literal["train", "val"],
        part: Count | None = None,
        empty: bool = True,
        masks: str | None = "masks",
        tags: str | None = None,
    ) -> None:
        """Read the table of tags or, where there is none, the JSON.

        Args:
            root: Folder that holds train2014 and val2014.
            split: "train" or "val".
            part: Take only the first so many images by id, after `empty` has been applied; the split is then called
                SPLIT_part. The released code's val_part are the first 5,000 images of val with objects.
            empty: Keep images without any object; they have no tags. The published results leave them out:
                82,081 of 82,783 images in train, 40,137 of 40,504 in val.
            masks: Folder of the masks in the root, with a folder for each split. None ignores masks.
            tags: CSV of tags, relative to the root or absolute; tags_train2014.csv or tags_val2014.csv by default.

        Raises:
            UserError: The root, the split, or both table and JSON are missing; the table names an unknown class; no
                images are left.
        """
        self.root = find_data(root)
        if split not in ("train", "val"):
            raise UserError(f"COCO has no split '{split}'; choose train or val, and `part` for a part of one")
        if part is not None and part < 1:
            raise UserError(f"part is {part}; take at least one image")
        self.split = split if part is None else f"{split}_part"
        folder = f"{split}2014"
        self._images = self.root / folder
        if not self._images.is_dir():
            raise UserError(
                f"there is no folder {folder} in {self.root}; set its place with "
                "--set data.train.root=DIR data.val.root=DIR or by DUPL_DATA=FOLDER, or make it with dupl data prepare"
            )
        self._json = self.root / "annotations" / f"instances_{folder}.json"
        self._masks = None if masks is None else self.root / masks / folder
        self.has_masks = self._masks is not None and (self._masks.is_dir() or self._json.is_file())

        table = self.root / (tags or f"tags_{folder}.csv")
        if tags is not None or table.is_file():
            read = read_tag_table(table, self.classes[1:])
            self._tags, self._files = read.tags, read.files
        else:
            index = self._instances
            found = (tuple(self.classes[label] for label in index.present(row)) for row in range(len(index)))
            self._tags = dict(zip(index.names, found, strict=True))
            self._files = dict(zip(index.names, index.files, strict=True))
        if self._masks is not None and not self._masks.is_dir() and self.has_masks:
            _ = self._instances  # read once, before workers are forked
        self.names = [name for name, present in self._tags.items() if empty or present][:part]
        if not self.names:
            raise UserError(
                f"{table if table.is_file() else self._json}: there are no images; check split, part and empty"
            )

    @cached_property
    def _instances(self) -> Instances:
        """The JSON, read when it is first needed."""
        return Instances(self._json, self.classes)

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return photo i, upright, RGB, (H, W, 3); grey and CMYK ones are converted."""
        return read_image(self.where(i), upright=True)

    def tags(self, i: int) -> NDArray[np.float32]:
        """Return 0/1 for each foreground class of photo i, (80,); all 0 for one without objects."""
        return self._tag_vector(self._tags[self.names[i]])

    def mask(self, i: int) -> NDArray[np.uint8] | None:
        """Return mask i on the upright photo, (H, W), from its PNG or else the JSON; None without masks."""
        path = self.mask_file(i)
        if path is None:
            return None
        painted = path == self._json
        drawn = self._instances.mask(self._instances.row(self.names[i])) if painted else read_mask(path)
        return upright_mask(drawn, self.photo_file(i), self.upright)

    def where(self, i: int) -> str:
        """Return the file of photo i."""
        return str(self.photo_file(i))

    def photo_file(self, i: int) -> Path:
        """Return the file of photo i."""
        return self._images / self._files[self.names[i]]

    def mask_file(self, i: int) -> Path | None:
        """Return the PNG of mask i, the JSON where it is painted from that, or the missing PNG; None without masks."""
        if self._masks is None or not self.has_masks:
            return None
        path = self._masks / f"{self.names[i]}.png"
        return path if path.is_file() or not self._json.is_file() else self._json
