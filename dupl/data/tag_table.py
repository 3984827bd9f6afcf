"""Reading a CSV that says which classes each image shows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dupl.cells import read
from dupl.data.files import read_text, without_suffix
from dupl.data.found_classes import BACKGROUND, FoundClasses
from dupl.errors import UserError

UNFILLED = "?"  # in a table that is still to be filled in
_YES, _NO = {"1", "1.0", "true", "yes"}, {"", "0", "0.0", "false", "no"}


@dataclass(frozen=True)
class TagTable:
    """A CSV of tags.

    Attributes:
        path: The file.
        classes: Foreground classes: as given, or the columns of a one-hot table, or all tags, sorted (numbers by
            their value).
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
    themselves are separated by comma, semicolon or tab. An empty cell means: background only, and
    "background" itself is no tag. `dupl.data.found_classes` says what is refused where `classes` is None.

    Args:
        path: The CSV file, UTF-8.
        classes: The foreground classes allowed; None allows those that the table names.

    Raises:
        UserError: The file or its column `image` is missing, an image has two lines, a class is not allowed, or
            the classes that the table names are ambiguous.
    """
    path = Path(path)
    columns, rows = _read_rows(path)
    if "image" not in columns:
        raise UserError(f"{path}: the first line has no column 'image'; name the columns image,tags")
    names = [column for column in columns if column not in ("image", "tags", "split")]
    one_hot = "tags" not in columns
    if one_hot and not names:
        raise UserError(f"{path}: there is neither a column 'tags' nor one per class; name the columns image,tags")

    if one_hot and any(name.casefold() == BACKGROUND for name in names):
        raise UserError(f"{path}: there is a column 'background', which every image has; remove the column")
    found = FoundClasses()
    table = TagTable(path, (), {}, {}, {})
    for line, cells in rows:
        where = f"{path}, line {line}"
        name = _image_name(cells["image"], where)
        if name in table.tags:
            raise UserError(f"{where}: there is already a line for {cells['image']}; keep one of them")
        present = _positive_columns(cells, names, where) if one_hot else _split_tags(cells["tags"], classes)
        for tag in present:
            check_class_name(tag, where)
        if classes is None and not one_hot:
            found.add(cells["tags"], present, where)
        if classes is not None and (unknown := [tag for tag in present if tag not in classes]):
            raise UserError(f"{where}: unknown class '{unknown[0]}'; the classes are {', '.join(classes)}")
        table.tags[name], table.files[name] = present, cells["image"]
        if "split" in columns:
            table.splits[name] = cells["split"]
    if not table.tags:
        raise UserError(f"{path}: there are no images in it; add one line per image")
    if classes is None and one_hot:
        for name in names:
            found.add(name, (name,), f"{path}, line 1")
    known = tuple(classes) if classes is not None else found.ordered(path, given=names if one_hot else None)
    return TagTable(path, known, table.tags, table.files, table.splits)


def check_class_name(tag: str, where: str) -> None:
    """Refuse a tag that stands for background, or for a cell that nobody filled in.

    Args:
        tag: The text.
        where: Its place, for messages.

    Raises:
        UserError: It is no name of a class.
    """
    if tag.casefold() == BACKGROUND:
        raise UserError(f"{where}: '{BACKGROUND}' is no tag, because every image has it; remove it")
    if tag == UNFILLED:
        raise UserError(
            f"{where}: '?' is not filled in: write the photo's classes, or nothing if it shows none of them"
        )


def _read_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Return the column names of a CSV, and for each row its line number and its cells by column."""
    lines = read_text(path, "table of tags").splitlines()
    header = lines[0] if lines else ""
    reader = csv.DictReader(lines, delimiter=next((mark for mark in ",;\t" if mark in header), ","), strict=True)
    try:
        columns = [read(column.strip()) for column in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}, after line {reader.line_num}: {error}; close the quote that begins a cell") from None

    def cells() -> Iterator[tuple[int, dict[str, str]]]:
        for line, row in rows:
            if None in row:
                raise UserError(f"{path}, line {line}: more cells than columns; quote tags that contain the separator")
            yield line, {key: read((value or "").strip()) for key, value in row.items()}

    return columns, cells()


def _image_name(cell: str, where: str) -> str:
    """Return an image's name without extension; refuse one outside the folder of images."""
    name = without_suffix(cell)
    if not cell:
        raise UserError(f"{where}: the image's name is empty; remove the line or fill it in")
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise UserError(f"{where}: the name {cell!r} leads out of the folder of images; correct the line")
    return name


def _positive_columns(cells: dict[str, str], names: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the class columns that are 1 in one line of a one-hot table."""
    for name in names:
        if cells[name].lower() not in _YES | _NO:
            raise UserError(f"{where}: '{cells[name]}' in column '{name}'; write 1 or 0")
    return tuple(name for name in names if cells[name].lower() in _YES)


def _split_tags(cell: str, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Split one cell into tags without repeats; known class names that contain spaces stay whole."""
    tags: list[str] = []
    for piece in (piece.strip() for piece in re.split("[,;]", cell)):
        tags += [piece] if classes is not None and piece in classes else piece.split()
    return tuple(dict.fromkeys(tags))
