"""The classes that a table of tags names itself, where the data set does not state its classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from dupl.errors import UserError

BACKGROUND = "background"
_MISSING = {"nan", "none", "null", "n/a", "na", "<na>"}  # how programs write an empty cell
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_QUOTES = "[]{}()'\"`"
_REMEDY = "name the classes by classes=[...] in data.train and data.val"


class FoundClasses:
    """Collect the tags of a table, and refuse text that may be no class name.

    Refused are: "nan" and other words for a missing value; a tag that begins or ends like a Python list; a tag with
    a space in a cell that separates tags by commas or semicolons; names that differ only in case or Unicode form;
    numbers other than 1 to K, because their order would not be that of the ids in masks.
    """

    def __init__(self) -> None:
        """Start without any class."""
        self._first: dict[str, tuple[str, str]] = {}  # by the folded name: the name and where it was found first

    def add(self, cell: str, tags: Sequence[str], where: str) -> None:
        """Add the tags of one cell.

        Args:
            cell: The text of the cell.
            tags: What it was split into.
            where: File and line, for messages.

        Raises:
            UserError: A tag may be no class name.
        """
        pieces = [piece.strip() for piece in re.split("[,;]", cell)]
        if len(tags) > 1 and len(pieces) > 1 and (spaced := [piece for piece in pieces if " " in piece]):
            raise UserError(f"{where}: '{spaced[0]}' may be one tag or several; {_REMEDY}")
        for tag in tags:
            if tag.casefold() in _MISSING:
                raise UserError(f"{where}: '{tag}' as a tag; leave the cell empty for background only, or {_REMEDY}")
            if tag[0] in _QUOTES or (tag[-1] in _QUOTES and not re.search(r"\(.*\)$", tag)):
                raise UserError(f"{where}: {tag!r} as a tag; write tags as cat;dog without brackets and quotes")
            name, place = self._first.setdefault(_folded(tag), (tag, where))
            if name != tag:
                raise UserError(f"{where}: class '{tag}' beside '{name}' ({place}); write both alike, or {_REMEDY}")

    def ordered(self, path: Path, given: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the classes in the order of their ids in masks, which count from 1.

        Args:
            path: The table, for messages.
            given: The names in the order of the columns; None sorts them.

        Raises:
            UserError: They are numbers, but not 1 to K in this order.
        """
        names = list(given) if given is not None else sorted(name for name, _ in self._first.values())
        numbers = [name for name in names if _NUMBER.fullmatch(name)]
        if not numbers:
            return tuple(names)
        counted = [str(k) for k in range(1, len(names) + 1)]
        if (names if given is not None else sorted(names, key=float) if len(numbers) == len(names) else []) != counted:
            raise UserError(f"{path}: class '{numbers[0]}' is a number, and its id in masks is not known; {_REMEDY}")
        return tuple(counted)


def _folded(name: str) -> str:
    """Return a name without differences in case and in Unicode form."""
    return unicodedata.normalize("NFC", name).casefold()
