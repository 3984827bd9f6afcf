"""A data set of a user's own photos: a folder of images, and a CSV that says which classes each image shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from dupl.data.base import ImageSet
from dupl.data.class_folders import read_class_folders
from dupl.data.files import IMAGE_SUFFIXES, read_image, read_mask, read_text, without_suffix
from dupl.data.folder_index import FolderIndex, told_places
from dupl.data.orientation import upright_mask
from dupl.data.tag_table import TagTable, read_tag_table
from dupl.errors import UserError
from dupl.places import find_data
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
        tags: str | None = "tags.csv",
        split: str | None = None,
        classes: Sequence[str] | None = None,
        images: str = "images",
        masks: str | None = "masks",
        upright: bool | None = None,
    ) -> None:
        """Read the table and the split; images and masks are read on request.

        Args:
            root: Folder of the set; the other paths are relative to it.
            tags: CSV of tags, see `dupl.data.tag_table.read_tag_table`. None: the folder of images holds one folder
                per class, whose name is the tag of the photos in it.
            split: Which images: a value of the table's column `split` or, without that column, the file
                SPLIT.txt in the root. None takes all images of the table.
            classes: Foreground classes in the order of the mask ids ("background" may stand first). None
                takes the columns of a one-hot table, or all tags of the table (of every split), sorted.
            images: Folder of the images.
            masks: Folder of the masks (PNG); it may be missing. None ignores masks.
            upright: Whether masks were drawn on photos turned by their EXIF orientation. It counts only where the
                size of a mask cannot tell, see `dupl.data.orientation`; None then refuses. Photos are always
                turned.

        Raises:
            UserError: The folder, table or split is missing, an image is listed twice, or a class is unknown.
        """
        self.root = find_data(root)
        self._images = self.root / images
        if not self._images.is_dir():
            raise UserError(f"folder of images not found: {self._images}; set its root or images, or DUPL_DATA")
        split = None if split is None else str(split)  # split=0 on the command line is the text 0 of the table
        if classes is not None:
            classes = _foreground(classes)
        if tags is None:
            self._table = read_class_folders(self._images, classes)
        else:
            self._table = read_tag_table(self.root / tags, classes)
        if not self._table.classes:
            raise UserError(f"{self._table.path}: no image has a tag; add tags of at least one class")
        self.classes = ("background", *_foreground(self._table.classes))
        if classes is None:
            named = ", ".join(self.classes[1:])
            self.class_note = f"as {self._table.path} names them: {named}; classes=[...] states and orders them"
        self.has_split_column = bool(self._table.splits)
        self.names = list(self._table.tags) if split is None else self._names_of(split, self._table)
        self._masks = self.root / masks if masks is not None and (self.root / masks).is_dir() else None
        self.upright = upright
        self._listing = FolderIndex(self._images, IMAGE_SUFFIXES)
        self._mask_listing = None if self._masks is None else FolderIndex(self._masks, (".png",))
        self.has_masks = any(self.mask_file(i) is not None for i in range(len(self.names)))

    @staticmethod
    def named_classes(arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the class names that the arguments of a set state, background first; None where its table says it."""
        classes = arguments.get("classes")
        return None if classes is None else ("background", *_foreground(classes))

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return image i, upright, RGB, (H, W, 3)."""
        return read_image(self._image_file(i), upright=True)

    def tags(self, i: int) -> NDArray[np.float32]:
        """Return 0/1 for each foreground class of image i, (K,); all 0 means background only."""
        return self._tag_vector(self._table.tags[self.names[i]])

    def mask(self, i: int) -> NDArray[np.uint8] | None:
        """Return mask i on the upright image, (H, W); None where this image has none.

        Raises:
            UserError: It is damaged, or may lie on either form of a turned photo.
        """
        path = self.mask_file(i)
        return None if path is None else upright_mask(read_mask(path), self.photo_file(i), self.upright)

    def where(self, i: int) -> str:
        """Return the file of image i, or the name in the table where there is no such file."""
        return str(self.photo_file(i))

    def photo_file(self, i: int) -> Path:
        """Return the file of image i, or the place that the table names where there is no such file."""
        try:
            return self._image_file(i)
        except UserError:
            return self._images / self._table.files[self.names[i]]

    def mask_file(self, i: int) -> Path | None:
        """Return the file of mask i, whose name may have another Unicode form; None where there is none."""
        if self._mask_listing is None:
            return None
        path = self._mask_listing.folder / f"{self.names[i]}.png"
        if path.is_file():
            return path
        found = self._mask_listing.find(f"{self.names[i]}.png")
        return found[0] if len(found) == 1 else None

    def mask_hint(self) -> str:
        """Return where the first missing mask is expected, and a file that may be meant."""
        folder = self._masks or self.root / "masks"
        for i, name in enumerate(self.names):
            if self.mask_file(i) is None:
                photo = self.photo_file(i)
                return told_places(folder / f"{name}.png", photo, (folder, photo.parent, self.root))
        return ""

    def _image_file(self, i: int) -> Path:
        """Return the file of image i; the table may give its name with or without extension."""
        stated = self._images / self._table.files[self.names[i]]
        if stated.is_file():
            return stated
        found = self._listing.find(self._table.files[self.names[i]])
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
        known_as = {normalize("NFC", name): name for name in table.tags}
        for name in names:
            if normalize("NFC", name) not in known_as:
                raise UserError(f"{path}: {name} has no line in {table.path}; add one or remove it from the list")
        return [known_as[normalize("NFC", name)] for name in names]


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
