"""Reading COCO's instances JSON: an index of its images and objects, and masks painted from it one at a time.

The file (hundreds of MB for the official sets) is read once, in pieces; what stays in memory is about 50 bytes per
object. The outlines themselves stay on disk and are looked up by their place in the file.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dupl.data.files import without_suffix
from dupl.data.json_pieces import elements
from dupl.data.outlines import paint
from dupl.errors import UserError

_MOST_PIXELS = 1 << 28  # of one image


class Instances:
    """The index of an instances JSON.

    Images are sorted by id. An image without any object is kept and has no tags. A crowd region counts as its
    class, in tags and masks. Where objects overlap, the one with the smaller `area` lies on top, and of two equal
    ones the earlier in the file: the conversion to VOC-style masks that the released code points to does the same.

    Attributes:
        path: The file.
        names: Name of each image without extension.
        files: File name of each image.
        sizes: Height and width of each image, (N, 2).
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        """Read the file.

        Args:
            path: The JSON file.
            classes: Names of all classes, background first; the file's categories, sorted by id, must be these.

        Raises:
            UserError: No such file, no JSON, not COCO's format, other categories.
        """
        self.path = path
        images: list[tuple[int, str, int, int]] = []
        categories: dict[int, str] = {}
        owner, category, start, length = array("q"), array("q"), array("q"), array("q")
        area = array("d")
        for key, number, place, size, element in elements(path, {"images", "annotations", "categories"}):
            spot = f"{path}: {key} number {number}"
            if key == "images":
                images.append(_image(element, spot))
            elif key == "categories":
                categories[_number(element, "id", spot)] = _text(element, "name", spot)
            else:
                owner.append(_number(element, "image_id", spot))
                category.append(_number(element, "category_id", spot))
                area.append(_number(element, "area", spot, whole=False))
                start.append(place)
                length.append(size)
        labels = _labels(path, categories, classes)
        images.sort()
        ids = np.array([image[0] for image in images], np.int64)
        self.files = [image[1] for image in images]
        self.names = [without_suffix(name) for name in self.files]
        self.sizes = np.array([image[2:] for image in images], np.int64).reshape(-1, 2)
        if len(set(self.names)) < len(images) or len(np.unique(ids)) < len(images):
            raise UserError(f"{path}: two images have one id or one file name; download the file again")

        rows = np.searchsorted(ids, np.array(owner, np.int64)) if len(ids) else np.zeros(len(owner), np.int64)
        for n, (row, image_id, kind) in enumerate(zip(rows, owner, category, strict=True)):
            if row == len(ids) or ids[row] != image_id:
                raise UserError(
                    f"{path}: annotations number {n}: there is no image {image_id}; download the file again"
                )
            if kind not in labels:
                raise UserError(f"{path}: annotations number {n}: there is no category {kind}; download the file again")
        order = np.lexsort((-np.arange(len(rows)), -np.array(area, np.float64), rows))  # what is painted last is on top
        self._labels = np.array([labels[kind] for kind in category], np.uint8)[order]
        self._starts = np.array(start, np.int64)[order]
        self._lengths = np.array(length, np.int64)[order]
        self._first = np.searchsorted(rows[order], np.arange(len(ids) + 1))
        self._row = {name: row for row, name in enumerate(self.names)}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def row(self, name: str) -> int:
        """Return the position of an image.

        Raises:
            UserError: It is not in the file.
        """
        if name not in self._row:
            raise UserError(f"{self.path}: no image is called {name}; remake the table of tags from this file")
        return self._row[name]

    def present(self, row: int) -> list[int]:
        """Return the label ids of the objects of an image, sorted."""
        return np.unique(self._labels[self._first[row] : self._first[row + 1]]).tolist()

    def mask(self, row: int) -> NDArray[np.uint8]:
        """Return the label ids of an image, (H, W); nothing is 255.

        Raises:
            UserError: An outline is broken, or the file has changed since it was indexed.
        """
        height, width = self.sizes[row]
        mask = np.zeros((height, width), np.uint8)
        with open(self.path, "rb") as file:
            for n in range(self._first[row], self._first[row + 1]):
                file.seek(self._starts[n])
                try:
                    element = json.loads(file.read(self._lengths[n]))
                    paint(mask, element.get("segmentation"), int(self._labels[n]))
                except (ValueError, AttributeError) as error:
                    spot = f"{self.path}, byte {self._starts[n]}: outline in {self.files[row]}"
                    raise UserError(f"{spot}: {error}; mend it or download the file again") from None
        return mask


def _image(element: dict[str, Any], spot: str) -> tuple[int, str, int, int]:
    """Return id, file name, height and width of an image."""
    name = _text(element, "file_name", spot)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise UserError(f"{spot}: its file name '{name}' leads out of the folder of images; download the file again")
    height, width = _number(element, "height", spot), _number(element, "width", spot)
    if height < 1 or width < 1 or height * width > _MOST_PIXELS:
        raise UserError(f"{spot}: it is {width} x {height} pixels; download the file again")
    return _number(element, "id", spot), name, height, width


def _number(element: dict[str, Any], key: str, spot: str, whole: bool = True) -> Any:
    value = element.get(key)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not abs(value) < 2**62:
        raise UserError(f"{spot}: no {'whole ' if whole else ''}number '{key}'; download the file again")
    return value


def _text(element: dict[str, Any], key: str, spot: str) -> str:
    value = element.get(key)
    if not isinstance(value, str):
        raise UserError(f"{spot}: no text '{key}'; download the file again")
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:  # written as \u escapes
        return value


def _labels(path: Path, categories: dict[int, str], classes: Sequence[str]) -> dict[int, int]:
    """Return the label of each category id: its rank among the ids, from 1."""
    names = [categories[key] for key in sorted(categories)]
    if names != list(classes[1:]):
        wrong = next((f"'{name}'" for name, known in zip(names, classes[1:], strict=False) if name != known), None)
        what = f"{wrong} is not at its place among them" if wrong else f"there are {len(names)}"
        raise UserError(f"{path}: its categories are not COCO's {len(classes) - 1}: {what}; use the official file")
    return {key: rank for rank, key in enumerate(sorted(categories), start=1)}
