"""Reading the tags that a user gives for images to segment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dupl.data.files import without_suffix
from dupl.data.tag_table import read_tag_table
from dupl.errors import UserError


def read_tags(text: str, files: Sequence[Path], classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the tags of each image by its name, from a CSV or from one list of class names for all images.

    Args:
        text: A CSV with the columns image and tags, or class names separated by commas or spaces.
        files: The images.
        classes: Class names, background first.

    Raises:
        UserError: A class is unknown, or the CSV has no row for an image.
    """
    if text.endswith(".csv"):
        table = read_tag_table(text, classes[1:])
        rows = {without_suffix(name): tags for name, tags in table.tags.items()}
        missing = [f.name for f in files if f.stem not in rows]
        if missing:
            raise UserError(
                f"{text} has no row for {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
            )
        return {f.stem: rows[f.stem] for f in files}
    pieces = [piece.strip() for piece in text.split(",")]  # a class name may hold spaces
    tags = tuple(tag for piece in pieces for tag in ([piece] if piece in classes else piece.split()))
    check_tags(tags, classes)
    return {f.stem: tags for f in files}


def check_tags(tags: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse tags that name no foreground class.

    Raises:
        UserError: A tag is not a foreground class.
    """
    if unknown := [tag for tag in tags if tag not in classes[1:]]:
        raise UserError(f"tags: no class {unknown[0]!r}; there are {', '.join(classes[1:])}")
