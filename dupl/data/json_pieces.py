"""Reading a large JSON file element by element, with the place of each in the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dupl.errors import UserError

_PIECE = 1 << 22  # bytes read at once
_DECODER = json.JSONDecoder()


def elements(path: Path, wanted: set[str]) -> Iterator[tuple[str, int, int, int, dict[str, Any]]]:
    """Yield key, position in the array, first byte, bytes and value of each element of the wanted top-level arrays.

    Text in the values is Latin-1, whatever the file's encoding: its places are bytes.

    Raises:
        UserError: No such file, no JSON, no array of one of these names, an element that is no object.
    """
    try:
        with open(path, "rb") as file:
            pieces = _Pieces(file)
            pieces.expect("{")
            seen = set()
            while pieces.peek() != "}":
                if not isinstance(key := pieces.value()[0], str):
                    raise ValueError(f"the name of a value is {str(key)[:40]}")
                pieces.expect(":")
                if key in wanted and pieces.peek() == "[":
                    seen.add(key)
                    pieces.expect("[")
                    number = 0
                    while pieces.peek() != "]":
                        element, place, size = pieces.value()
                        if not isinstance(element, dict):
                            raise UserError(f"{path}: {key} number {number} is no object; download the file again")
                        yield key, number, place, size, element
                        number += 1
                        if pieces.peek() != "]":
                            pieces.expect(",")
                    pieces.expect("]")
                else:
                    pieces.value()
                if pieces.peek() != "}":
                    pieces.expect(",")
    except FileNotFoundError:
        raise UserError(f"annotations not found: {path}; `dupl data prepare coco` fetches them") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"annotations cannot be read: {path} ({error}); download the file again") from None
    if missing := sorted(wanted - seen):
        raise UserError(f"{path}: it has no list '{missing[0]}'; it is no instances file of COCO")


class _Pieces:
    """JSON values from a file that is read in pieces."""

    def __init__(self, file: Any) -> None:
        self.file, self.text, self.base, self.at = file, "", 0, 0

    def more(self) -> bool:
        """Read on, more at a time the longer a single value is; return whether there was anything."""
        rest = self.text[self.at :]
        piece = self.file.read(max(_PIECE, len(rest))).decode("latin-1")
        self.text, self.base, self.at = rest + piece, self.base + self.at, 0
        return bool(piece)

    def peek(self) -> str:
        """Return the next character that is not space; nothing at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.text) or not self.more():
                return self.text[self.at : self.at + 1]

    def expect(self, mark: str) -> None:
        """Go past a mark."""
        if self.peek() != mark:
            raise ValueError(f"'{mark}' expected at byte {self.base + self.at}")
        self.at += 1

    def value(self) -> tuple[Any, int, int]:
        """Return the next value, its first byte and its length in bytes."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
                if end < len(self.text) or not self.more():
                    break
            except json.JSONDecodeError as error:
                if not self.more():
                    raise ValueError(f"{error.msg} at byte {self.base + error.pos}") from None
        place, size = self.base + self.at, end - self.at
        self.at = end
        return value, place, size
