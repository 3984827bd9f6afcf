"""Pixels per image, class and label map of one evaluation: read quickly, and checked against the confusion."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dupl import cells
from dupl.runs import layout
from dupl.runs.evaluation_files import IMAGE_COLUMNS, complete_bytes, read_confusion
from dupl.runs.tallies import counts_of

if TYPE_CHECKING:
    from pandas import DataFrame

Codes = NDArray[np.intp]
ChooseMaps = Callable[[Iterable[str]], Sequence[str]]
WIDTH = len(IMAGE_COLUMNS)
LARGEST = 1 << 62  # a count of pixels; numpy reads what is beyond 64 bits as the last number that is not
HEADER = ",".join(IMAGE_COLUMNS).encode()


@dataclass(frozen=True)
class PixelCounts:
    """The rows of a table of pixels; a class without a pixel of truth or prediction in an image has no row.

    Attributes:
        maps, images, classes: Names that occur, each once, sorted.
        map_of, image_of, class_of: The place of each row's name among them, (rows,).
        pixels: TP, FP and FN, (rows, 3).
    """

    maps: tuple[str, ...]
    images: tuple[str, ...]
    classes: tuple[str, ...]
    map_of: Codes
    image_of: Codes
    class_of: Codes
    pixels: NDArray[np.int64]

    @classmethod
    def of(cls, table: Mapping[str, Any] | DataFrame) -> PixelCounts:
        """Take them from columns map, image, class, TP, FP and FN."""
        pixels = np.array([list(table[name]) for name in IMAGE_COLUMNS[3:]], np.int64)
        return _table([list(table[name]) for name in IMAGE_COLUMNS[:3]], pixels)

    def frame(self) -> DataFrame:
        """Return the same as columns map, image, class, TP, FP and FN."""
        import pandas as pd

        columns = ((self.maps, self.map_of), (self.images, self.image_of), (self.classes, self.class_of))
        texts = [pd.Series(np.array(names, object)[places], dtype=str) for names, places in columns]
        return pd.DataFrame(dict(zip(IMAGE_COLUMNS, [*texts, *self.pixels.T], strict=True)))


def read_pixel_counts(folder: Path, maps: Sequence[str] | None = None) -> PixelCounts:
    """Read the pixels per image of an evaluation.

    Args:
        folder: Of the evaluation.
        maps: The label maps to read; all where None.

    Raises:
        OSError: The file is missing or cannot be read.
        ValueError: The file was cut off, has other columns, or counts that are no whole numbers.
    """
    data = complete_bytes(folder / layout.PER_IMAGE)
    try:
        found = _cells(data, None if maps is None else [name.encode() for name in maps])
        pixels = _whole_numbers([cell for k in range(3, WIDTH) for cell in found[k::WIDTH]])
        return _table([found[k::WIDTH] for k in range(3)], pixels)
    except (ValueError, OverflowError, csv.Error) as error:
        raise ValueError(f"{layout.PER_IMAGE} is corrupt: {' '.join(str(error).split())}") from None


def _table(texts: Sequence[Sequence[str] | Sequence[bytes]], pixels: NDArray[np.int64]) -> PixelCounts:
    """Return a table of names of maps, images and classes, and of pixels, (3, rows)."""
    (maps, map_of), (images, image_of), (classes, class_of) = map(_places, texts)
    return PixelCounts(maps, images, classes, map_of, image_of, class_of, pixels.reshape(3, -1).T)


def read_checked(folder: Path, choose: ChooseMaps | None = None) -> PixelCounts:
    """Read the pixels per image of an evaluation, which must add up to its confusion.

    Args:
        folder: Of the evaluation.
        choose: Returns the label maps to read, of those there are; all where None.

    Raises:
        OSError: A file is missing or cannot be read.
        ValueError: A file is corrupt, or they do not add up: one was cut off.
    """
    classes, matrices = read_confusion(folder)
    maps = list(matrices if choose is None else choose(matrices))
    found = read_pixel_counts(folder, None if choose is None else maps)
    whole = np.array([counts_of(matrices[name]) for name in maps], np.int64).reshape(len(maps), 3, len(classes))
    sums = np.zeros((len(maps), len(classes), 3), np.int64)
    try:
        rows = np.array([maps.index(name) for name in found.maps], np.intp)
        columns = np.array([classes.index(name) for name in found.classes], np.intp)
    except ValueError as error:
        raise ValueError(f"{layout.PER_IMAGE} is corrupt: {error}, as {layout.CONFUSION} has them") from None
    np.add.at(sums, (rows[found.map_of], columns[found.class_of]), found.pixels)
    if not np.array_equal(sums, whole.swapaxes(1, 2)):
        raise ValueError(f"{layout.PER_IMAGE} is corrupt: it does not add up to {layout.CONFUSION}")
    return found


def _cells(data: bytes, maps: Sequence[bytes] | None) -> list[bytes]:
    """Return the cells of all rows, one after the other.

    Splitting bytes is several times faster than a reader of CSV, which only texts in quotation marks need. As a row
    begins with a label map and ends with three numbers, rows that are too short or too long do not pass for others.
    """
    if b'"' in data or b"\r" in data:
        header, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
        if any(len(row) != WIDTH for row in rows):
            raise ValueError(f"not every row has {WIDTH} cells")
        found = [cell.encode() for row in rows for cell in row if maps is None or row[0].encode() in maps]
        first = ",".join(header).encode()
    else:
        first, _, body = data.partition(b"\n")
        blocks = [body] if maps is None else [_block(data, name) for name in maps]
        found = [cell for block in blocks for cell in block[:-1].replace(b"\n", b",").split(b",") if block]
    if first != HEADER:
        raise ValueError(f"its columns are {first.decode(errors='replace')[:200]}")
    if len(found) % WIDTH:
        raise ValueError(f"not every row has {WIDTH} cells")
    return found


def _whole_numbers(found: list[bytes]) -> NDArray[np.int64]:
    """Return the numbers of cells, three times faster than `int` does.

    Raises:
        ValueError: A cell is no whole number, or one beyond 64 bits.
    """
    if not found:
        return np.zeros(0, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # which old versions of numpy give instead of an error
        try:
            numbers = np.fromstring(b",".join(found), np.int64, sep=",")
        except (ValueError, DeprecationWarning):
            numbers = np.zeros(0, np.int64)
    if len(numbers) != len(found) or np.abs(numbers).max() >= LARGEST:
        raise ValueError("a count is no whole number")
    return numbers


def _block(data: bytes, label_map: bytes) -> bytes:
    """Return the lines of a label map, which stand together."""
    start = b"\n" + label_map + b","
    first, last = data.find(start), data.rfind(start)
    if first < 0:
        return b""
    block = data[first + 1 : data.index(b"\n", last + 1) + 1]
    if block.count(b"\n") == block.count(start) + 1:
        return block
    return b"".join(line for line in block.splitlines(keepends=True) if line.startswith(start[1:]))


def _places(texts: Sequence[str] | Sequence[bytes]) -> tuple[tuple[str, ...], Codes]:
    """Return the names that occur, and the place of each text among them."""
    names, places = _ordered(frozenset(texts))
    return names, np.fromiter(map(places.__getitem__, texts), np.intp, len(texts))


@lru_cache(maxsize=64)
def _ordered(texts: frozenset[str] | frozenset[bytes]) -> tuple[tuple[str, ...], dict[str | bytes, int]]:
    """Return the names of cells in order, and the place of each; the evaluations of a table mostly have the same."""
    names = {text: cells.read(text.decode()) if isinstance(text, bytes) else text for text in texts}
    ordered = tuple(sorted(set(names.values())))
    places = {name: k for k, name in enumerate(ordered)}
    return ordered, {text: places[name] for text, name in names.items()}
