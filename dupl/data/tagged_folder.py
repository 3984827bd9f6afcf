"""A data set of a user's own photos: a folder of images, and a CSV that says which classes each image shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dupl.data.base import ImageSet
from dupl.data.files import IMAGE_SUFFIXES, read_image, read_mask, read_text, without_suffix
from dupl.data.tag_table import TagTable, read_tag_table
from dupl.errors import UserError
from dupl.registry import DATASETS


@DATASETS.register_module()
class TaggedFolder(ImageSet):
    """Images in one folder, tags in one CSV, masks if there are any.

        my_photos/
          images/a.jpg, b.png, ...     sub-folders allowed: the CSV then says sub/a.jpg
          tags.csv                     image,tags        or   image,cat,dog
                                       a.jpg,cat dog          a.jpg,1,1
          masks/a.png, ...             optional, for evaluation: palette or grey, 0 background, 255 void
          train.txt, val.txt           optional: names of a split; a column `split` does the same

    The ids in the masks are the positions of `classes` after the background, counted from 1.
    """

    def __init__(
        self,
        root: str,
        tags: str = "tags.csv",
        split: str | None = None,
        classes: Sequence[str] | None = None,
        images: str = "images",
        masks: str | None = "masks",
        upright: bool | None = None,
    ) -> None:
        """Read the table and the split; images and masks are read on request.

        Args:
            root: Folder of the set; the other paths are relative to it.
            tags: CSV of tags, see `dupl.data.tag_table.read_tag_table`.
            split: Which images: a value of the table's column `split` or, without that column, the file
                SPLIT.txt in the root. None takes all images of the table.
            classes: Foreground classes in the order of the mask ids ("background" may stand first). None
                takes the columns of a one-hot table, or all tags of the table (of every split), sorted.
            images: Folder of the images.
            masks: Folder of the masks (PNG); it may be missing. None ignores masks.
            upright: Whether to rotate photos as their EXIF orientation says. None: yes, unless the folder of
                masks exists, because masks are assumed to lie on the stored pixels.

        Raises:
            UserError: The folder, table or split is missing, an image is listed twice, or a class is unknown.
        """
        self.root = Path(root).expanduser()
        self._images = self.root / images
        if not self._images.is_dir():
            raise UserError(f"folder of images not found: {self._images}; set the data set's root or images")
        split = None if split is None else str(split)  # split=0 on the command line is the text 0 of the table
        if classes is not None:
            classes = _foreground(classes)
        self._table = read_tag_table(self.root / tags, classes)
        if not self._table.classes:
            raise UserError(f"{self._table.path}: no image has a tag; add tags of at least one class")
        self.classes = ("background", *_foreground(self._table.classes))
        self.names = list(self._table.tags) if split is None else self._names_of(split, self._table)
        self._masks = self.root / masks if masks is not None and (self.root / masks).is_dir() else None
        self._upright = self._masks is None if upright is None else upright
        self.has_masks = any(self._mask_file(name) is not None for name in self.names)
        self._listing: dict[str, list[Path]] | None = None

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return image i, RGB, (H, W, 3)."""
        return read_image(self._image_file(i), self._upright)

    def tags(self, i: int) -> NDArray[np.float32]:
        """Return 0/1 for each foreground class of image i, (K,); all 0 means background only."""
        return self._tag_vector(self._table.tags[self.names[i]])

    def mask(self, i: int) -> NDArray[np.uint8] | None:
        """Return mask i, (H, W); None where this image has none."""
        path = self._mask_file(self.names[i])
        return None if path is None else read_mask(path)

    def where(self, i: int) -> str:
        """Return the file of image i, or the name in the table where there is no such file."""
        try:
            return str(self._image_file(i))
        except UserError:
            return str(self._images / self._table.files[self.names[i]])

    def _mask_file(self, name: str) -> Path | None:
        path = None if self._masks is None else self._masks / f"{name}.png"
        return path if path is not None and path.is_file() else None

    def _image_file(self, i: int) -> Path:
        """Return the file of image i; the table may give its name with or without extension."""
        stated = self._images / self._table.files[self.names[i]]
        if stated.is_file():
            return stated
        if self._listing is None:  # the folder is listed once, for all names without extension
            self._listing = {}
            for path in sorted(self._images.rglob("*")):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    name = path.relative_to(self._images).with_suffix("").as_posix()
                    self._listing.setdefault(name, []).append(path)
        found = self._listing.get(self._table.files[self.names[i]], [])
        if not found:
            raise UserError(f"image not found: {stated} (named in {self._table.path}); add it or remove its line")
        if len(found) > 1:
            both = " and ".join(path.name for path in found)
            raise UserError(f"{stated} may be {both}; write the extension in {self._table.path}")
        return found[0]

    def _names_of(self, split: str, table: TagTable) -> list[str]:
        """Return the names of a split, from the table's column or from its list."""
        if table.splits:
            names = [name for name, value in table.splits.items() if value == split]
            if not names:
                known = ", ".join(sorted(set(table.splits.values())))
                raise UserError(f"{table.path}: no image of split '{split}'; its splits are {known}")
            return names
        path = self.root / f"{split}.txt"
        if not path.is_file():
            raise UserError(f"split '{split}' is not defined: add it to a column 'split' of {table.path}, or as {path}")
        names = [without_suffix(line.strip()) for line in read_text(path, "split").splitlines() if line.strip()]
        if not names:
            raise UserError(f"list of images is empty: {path}; write one name per line")
        for name in names:
            if name not in table.tags:
                raise UserError(f"{path}: {name} has no line in {table.path}; add one or remove it from the list")
        return names


def _foreground(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the foreground classes, without a leading background; refuse repeats."""
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise UserError(f"classes is {classes!r}; give a list of names, such as ['cat', 'dog']; numbers too in quotes")
    names = tuple(classes[1:] if classes and classes[0] == "background" else classes)
    if len(set(names)) < len(names) or "background" in names:
        raise UserError(f"classes has a name twice, or background late: {', '.join(classes)}; name each once")
    if bad := [name for name in names if not name.isprintable() or not name]:
        raise UserError(f"a class is called {bad[0]!r}; use only printable characters, at least one")
    if len(names) > 254:
        raise UserError(f"there are {len(names)} classes; a mask can hold 254 beside background and void")
    return names
