"""Reading what users keep on disk: photos, masks, lists and tables of tags, each with one clear error."""

from __future__ import annotations

import csv
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dupl.cells import read
from dupl.errors import UserError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
# What Pillow may take a file for, whatever its name; of others (EPS) some are programs, run by a further program.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_UNREADABLE = (  # what Pillow raises of damaged files
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    struct.error,
    MemoryError,
    Image.DecompressionBombError,
)
_YES, _NO = {"1", "1.0", "true", "yes"}, {"", "0", "0.0", "false", "no"}


@contextmanager
def _opened(path: Path, what: str) -> Iterator[Image.Image]:
    """Open an image file; turn what can go wrong while reading it into one line."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            yield picture
    except FileNotFoundError:
        raise UserError(f"{what} not found: {path}; add the file or take its name off the list") from None
    except _UNREADABLE as error:
        reason = str(error) or "not enough memory for it"
        raise UserError(f"{what} cannot be read: {path} ({reason}); replace the file") from None


def read_image(path: str | Path, upright: bool = False) -> NDArray[np.uint8]:
    """Return a photo as RGB, (H, W, 3), whatever its mode (grey, palette, RGBA, CMYK, 16 bit).

    Transparency is dropped; 16-bit grey keeps its upper 8 bits; of an animation the first frame is read.

    Args:
        path: The image file.
        upright: Turn the picture as its EXIF orientation says; else the stored pixels are given.

    Raises:
        UserError: The file is missing, damaged or has a mode without a defined brightness (float).
    """
    with _opened(Path(path), "image") as picture:
        turned = ImageOps.exif_transpose(picture) if upright else picture
        if turned.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it to white
            values = np.clip(np.asarray(turned), 0, 65535).astype(np.uint16) >> 8
            return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)
        if turned.mode == "F":
            raise ValueError("its pixels are floats of unknown range: save it with 8 or 16 bits")
        if "transparency" in turned.info:
            turned = turned.convert("RGBA")
        return np.array(turned if turned.mode == "RGB" else turned.convert("RGB"))


def read_mask(path: str | Path) -> NDArray[np.uint8]:
    """Return the label ids of a palette or grey mask, (H, W).

    Raises:
        UserError: The file is missing or damaged, or is in colour, or holds ids above 255.
    """
    with _opened(Path(path), "mask") as picture:
        if picture.mode not in ("P", "L", "1") and not picture.mode.startswith("I"):
            raise ValueError(f"its mode is {picture.mode}: save label ids as a palette or grey PNG")
        ids = np.array(picture)
        if ids.dtype != np.bool_ and (ids.min() < 0 or ids.max() > 255):
            raise ValueError("it holds label ids outside 0..255")
        return ids.astype(np.uint8)


def read_text(path: Path, what: str) -> str:
    """Return a text file's content (UTF-8, byte-order mark allowed); a missing or binary one is an error."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{what} not found: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{what} cannot be read: {path} ({error}); save it as UTF-8 text") from None


def without_suffix(name: str) -> str:
    """Return an image's name without its extension, if it has one that images have."""
    path = Path(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in IMAGE_SUFFIXES else path.as_posix()


@dataclass(frozen=True)
class TagTable:
    """A CSV of tags.

    Attributes:
        path: The file.
        classes: Foreground classes: as given, or the columns of a one-hot table, or all tags, sorted.
        tags: Tags of each image by its name without extension, in the order of the rows.
        files: The name of each image as it stands in the file.
        splits: The split of each image; empty where the table has no such column.
    """

    path: Path
    classes: tuple[str, ...]
    tags: dict[str, tuple[str, ...]]
    files: dict[str, str]
    splits: dict[str, str]


def read_tag_table(path: str | Path, classes: Sequence[str] | None = None) -> TagTable:
    """Read a CSV with the columns `image` and `tags` (names), or `image` and one 0/1 column per class.

    Tags in one cell are separated by spaces, commas or semicolons. A class name that contains spaces
    needs `classes`, and commas or semicolons between the tags. A column `split` may follow. The columns
    themselves are separated by comma, semicolon or tab. An empty cell means: background only.

    Args:
        path: The CSV file, UTF-8.
        classes: The foreground classes allowed; None takes those the table names.

    Raises:
        UserError: No such file, no `image` column, an image named twice, a class that is not allowed.
    """
    path = Path(path)
    lines = read_text(path, "table of tags").splitlines()
    header = lines[0] if lines else ""
    rows = csv.DictReader(lines, delimiter=next((mark for mark in ",;\t" if mark in header), ","), strict=True)
    try:
        columns = [read(column.strip()) for column in rows.fieldnames or ()]
        rows.fieldnames = columns
        table = [(rows.line_num, row) for row in rows]
    except csv.Error as error:
        raise UserError(f"{path}, after line {rows.line_num}: {error}; close the quote that begins a cell") from None
    if "image" not in columns:
        raise UserError(f"{path}: no column 'image' in its first line; name the columns image,tags")
    names = [column for column in columns if column not in ("image", "tags", "split")]
    if "tags" not in columns and not names:
        raise UserError(f"{path}: no column 'tags' and no columns of classes; name the columns image,tags")
    onehot = "tags" not in columns

    tags: dict[str, tuple[str, ...]] = {}
    files: dict[str, str] = {}
    splits: dict[str, str] = {}
    for line, row in table:
        spot = f"{path}, line {line}"
        cells = {key: read((value or "").strip()) for key, value in row.items() if isinstance(key, str)}
        if None in row:
            raise UserError(f"{spot}: more cells than columns; quote tags that contain the separator")
        name = without_suffix(cells["image"])
        if not cells["image"]:
            raise UserError(f"{spot}: the image's name is empty; remove the line or fill it in")
        if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
            raise UserError(f"{spot}: the name {cells['image']!r} leads out of the folder of images; mend the line")
        if name in tags:
            raise UserError(f"{spot}: {cells['image']} has a line already; keep one of them")
        tags[name] = _columns_set(cells, names, spot) if onehot else _split_tags(cells["tags"], classes)
        files[name] = cells["image"]
        if "split" in columns:
            splits[name] = cells["split"]
        for unknown in (tag for tag in tags[name] if classes is not None and tag not in classes):
            raise UserError(f"{spot}: unknown class '{unknown}'; the classes are {', '.join(classes or ())}")
    if not tags:
        raise UserError(f"{path}: no images in it; add a line per image")
    found = names if onehot else sorted({tag for present in tags.values() for tag in present})
    return TagTable(path, tuple(found if classes is None else classes), tags, files, splits)


def _columns_set(cells: dict[str, str], names: Sequence[str], spot: str) -> tuple[str, ...]:
    """Return the class columns that say 1 in one line of a one-hot table."""
    for name in names:
        if cells[name].lower() not in _YES | _NO:
            raise UserError(f"{spot}: '{cells[name]}' in column '{name}'; write 1 or 0")
    return tuple(name for name in names if cells[name].lower() in _YES)


def _split_tags(cell: str, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Split one cell of tags, keeping class names with spaces whole where they are known; no repeats."""
    tags: list[str] = []
    for piece in (piece.strip() for piece in re.split("[,;]", cell)):
        tags += [piece] if classes is not None and piece in classes else piece.split()
    return tuple(dict.fromkeys(tags))
