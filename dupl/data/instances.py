"""MS COCO's instances JSON: its images, the classes of their objects, and a mask painted for one image at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dupl.data import coco_json
from dupl.data.coco_json import AGAIN, elements, number, text, whole
from dupl.data.files import without_suffix
from dupl.data.outlines import paint
from dupl.errors import UserError

_MOST_PIXELS = 1 << 28  # of one image


class _Image(NamedTuple):
    id: int
    file: str
    height: int
    width: int


class _Object(NamedTuple):
    number: int  # position among the file's annotations
    label: int
    area: float
    outline: Any


class Instances:
    """The images and objects of one instances JSON, which stays in memory (about six times its size).

    Images are sorted by id. An image without any object is kept and has no tags. A crowd region counts as its
    class, in tags and masks. Where objects overlap, the one with the smaller `area` lies on top, and of two equal
    ones the earlier in the file: the conversion to VOC-style masks that the released code points to does the same.

    Attributes:
        path: The file.
        names: Name of each image without extension.
        files: File name of each image.
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        """Read and validate the file; outlines are validated when they are painted.

        Args:
            path: The JSON file.
            classes: Names of all classes, background first; the file's categories, sorted by id, must be these.

        Raises:
            UserError: The file is missing, is not JSON or not in COCO's format, or has other categories.
        """
        self.path = path
        content = coco_json.read(path)
        labels = _labels(path, content, classes)
        self._images = sorted(_image(*item) for item in elements(path, content, "images"))
        self.files = [image.file for image in self._images]
        self.names = [without_suffix(name) for name in self.files]
        self._row = {name: row for row, name in enumerate(self.names)}
        rows = {image.id: row for row, image in enumerate(self._images)}
        if min(len(self._row), len(rows)) < len(self._images):
            raise UserError(f"{path}: two images have the same id or file name; {AGAIN}")
        self._objects: list[list[_Object]] = [[] for _ in self._images]
        for n, (element, where) in enumerate(elements(path, content, "annotations")):
            image, category = whole(element, "image_id", where), whole(element, "category_id", where)
            if image not in rows:
                raise UserError(f"{where}: there is no image {image}; {AGAIN}")
            if category not in labels:
                raise UserError(f"{where}: there is no category {category}; {AGAIN}")
            area, outline = number(element, "area", where), element.get("segmentation")
            self._objects[rows[image]].append(_Object(n, labels[category], area, outline))
        for objects in self._objects:  # the last one painted lies on top
            objects.sort(key=lambda one: (-one.area, -one.number))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def row(self, name: str) -> int:
        """Return the position of an image.

        Raises:
            UserError: It is not in the file.
        """
        if name not in self._row:
            raise UserError(f"{self.path}: there is no image {name}; make the table of tags again from this file")
        return self._row[name]

    def present(self, row: int) -> list[int]:
        """Return the label ids of the objects of an image, sorted."""
        return sorted({one.label for one in self._objects[row]})

    def mask(self, row: int) -> NDArray[np.uint8]:
        """Paint the label ids of an image, (H, W); pixels outside all objects are 0.

        Raises:
            UserError: An outline is damaged, or pycocotools is not installed.
        """
        image = self._images[row]
        mask = np.zeros((image.height, image.width), np.uint8)
        for one in self._objects[row]:
            try:
                paint(mask, one.outline, one.label)
            except ValueError as error:
                where = f"{self.path}: annotations number {one.number} in {image.file}"
                raise UserError(f"{where}: {error}; {AGAIN}") from None
        return mask


def _image(element: dict[str, Any], where: str) -> _Image:
    """Validate an image's id, file name and size."""
    name = text(element, "file_name", where)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise UserError(f"{where}: its file name '{name}' leads out of the folder of images; {AGAIN}")
    height, width = whole(element, "height", where), whole(element, "width", where)
    if height < 1 or width < 1 or height * width > _MOST_PIXELS:
        raise UserError(f"{where}: its size is {width} x {height} pixels; {AGAIN}")
    return _Image(whole(element, "id", where), name, height, width)


def _labels(path: Path, content: dict[str, Any], classes: Sequence[str]) -> dict[int, int]:
    """Return the label of each category id: its rank among the ids, from 1."""
    categories = {
        whole(element, "id", where): text(element, "name", where)
        for element, where in elements(path, content, "categories")
    }
    names = [categories[key] for key in sorted(categories)]
    if names != list(classes[1:]):
        wrong = next((f"'{name}'" for name, known in zip(names, classes[1:], strict=False) if name != known), None)
        what = f"{wrong} is not at its place among them" if wrong else f"there are {len(names)}"
        raise UserError(f"{path}: its categories are not COCO's {len(classes) - 1}: {what}; use the official file")
    return {key: rank for rank, key in enumerate(sorted(categories), start=1)}
